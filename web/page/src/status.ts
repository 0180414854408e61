import { call } from './api'
import { server } from './store'

interface Status {
  chat?: { available?: boolean; reason?: string }
  temporalUi?: string
  databaseUrl?: string
}

let wake = () => {}

// askNow asks at once what the server can do.
export const askNow = () => wake()

// watchStatus asks what the server can do, often while it cannot do everything. It never ends.
export async function watchStatus() {
  for (;;) {
    let ready = false
    if (!document.hidden) {
      try {
        const s = await call<Status>('FeedService/GetStatus', {})
        ready = s.chat?.available === true
        const reason = (s.chat?.reason ?? '').replace(/; try again.*/, '') // which this does by itself
        const building = reason.match(/package (\d+) of at most (\d+)/)
        server.value = {
          chat: ready,
          reason,
          starting: /^Temporal is (still being built|starting)/.test(reason),
          building: building ? (100 * Number(building[1])) / Number(building[2]) : undefined,
          temporalUI: s.temporalUi ?? '',
          database: s.databaseUrl ?? '',
        }
      } catch {
        // It is asked again.
      }
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ready ? 30_000 : 2000)
      wake = () => (clearTimeout(timer), resolve())
    })
  }
}
