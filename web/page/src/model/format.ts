const units: [number, string][] = [
  [86400, 'd'],
  [3600, 'h'],
  [60, 'm'],
]

// ago is how long a time has passed, for lists: "now 3" is never older than a minute.
export function ago(seconds: number, now: number): string {
  const passed = Math.max(0, now - seconds)
  if (passed < 1.5) return 'now'
  for (const [unit, name] of units) if (passed >= unit) return `${Math.floor(passed / unit)} ${name}`
  return `${Math.floor(passed)} s`
}

const clockFormat = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })

export const clock = (seconds: number): string => clockFormat.format(seconds * 1000)

// exact is the whole time with the microseconds of the cursor.
export function exact(seconds: number): string {
  const micro = seconds.toFixed(6).split('.')[1]!
  return `${new Date(Math.floor(seconds) * 1000).toISOString().slice(0, 19).replace('T', ' ')}.${micro} UTC`
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`
  if (count < 1024 * 1024) return `${(count / 1024).toFixed(count < 10240 ? 1 : 0)} KiB`
  return `${(count / 1024 / 1024).toFixed(1)} MiB`
}

export function duration(seconds: number): string {
  if (seconds < 0.0095) return `${(seconds * 1000).toFixed(1)} ms`
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`
}

export function count(value: number): string {
  return value.toLocaleString('en')
}

// cursorTime is a cursor as protobuf's JSON has times, to the microsecond.
export const cursorTime = (seconds: number): string => exact(seconds).replace(' ', 'T').replace(' UTC', 'Z')
