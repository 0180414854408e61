import { type Item, number, text } from './item'

// A piece of a message that is of one kind.
export interface Part {
  number: number
  kind: string
  text: string
}

// A message in its latest version, or one that is being written. It is replaced and never changed, so that what draws it can
// compare references.
export interface Message {
  id: string // of the first version
  version: string // the id of the latest
  role: string
  status: string
  complete: boolean
  attempt: number // which attempt has written the parts; 0 of a complete one
  parts: Part[]
  replaced: { attempt: number; parts: Part[] }[] // what lower attempts had written
  grown: boolean // the page has seen it grow
  edited: boolean
  at: number // of the latest version or delta
  place: number // where it is shown
  item: Item // the latest item that it was made of
}

interface Ahead {
  at: number
  delta: string
}

// Draft is a message while it is being written. It keeps, for each part, the pieces that came before the text they continue.
export class Draft {
  private ahead = new Map<number, Ahead[]>()
  private lengths = new Map<number, number>() // of each part's text, in code points

  // add returns the message with the delta in it, or the same message if the delta changes nothing.
  add(message: Message, item: Item): Message {
    const d = item.item
    const attempt = number(d.attempt)
    if (message.complete || attempt < message.attempt) return message
    let { parts, replaced } = message
    if (attempt > message.attempt) {
      if (parts.length > 0) replaced = [...replaced, { attempt: message.attempt, parts }]
      parts = []
      this.ahead.clear()
      this.lengths.clear()
    }
    const place = number(d.part)
    let i = parts.findIndex((p) => p.number >= place)
    if (i < 0) i = parts.length
    const known = parts[i]?.number === place ? parts[i] : undefined
    const part = { number: place, kind: text(d.kind) || 'text', text: known?.text ?? '' }
    if (known) part.kind = known.kind
    this.grow(part, number(d.at), text(d.delta))
    parts = [...parts.slice(0, i), part, ...parts.slice(known ? i + 1 : i)]
    return { ...message, attempt, parts, replaced, grown: true, at: item.createdAt, place: Math.min(message.place, item.createdAt), item }
  }

  private grow(part: Part, at: number, delta: string) {
    const waiting = this.ahead.get(part.number) ?? []
    waiting.push({ at, delta })
    waiting.sort((a, b) => a.at - b.at)
    let length = this.lengths.get(part.number) ?? 0
    while (waiting.length > 0 && waiting[0]!.at <= length) {
      const { at, delta } = waiting.shift()!
      const rest = skip(delta, length - at)
      part.text += rest
      length += points(rest)
    }
    this.lengths.set(part.number, length)
    this.ahead.set(part.number, waiting)
  }
}

// skip returns the text without its first code points.
function skip(value: string, count: number): string {
  let i = 0
  for (; count > 0 && i < value.length; count--) i += value.codePointAt(i)! > 0xffff ? 2 : 1
  return value.slice(i)
}

function points(value: string): number {
  let count = 0
  for (const _ of value) count++
  return count
}

export const body = (parts: Part[]): string =>
  parts
    .filter((p) => p.kind === 'text')
    .map((p) => p.text)
    .join('')
