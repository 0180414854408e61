import { signal } from '@preact/signals'

import type { Problem } from './api'
import { Meter } from './meter'
import type { Gone, Item } from './model/item'
import { Timeline } from './model/timeline'

// How the session is connected. upToDate is false of a live one while the server cannot reach the database.
export type State =
  | { kind: 'connecting' | 'catching-up' }
  | { kind: 'live'; upToDate: boolean }
  | { kind: 'waiting'; reason: string; retryAt: number } // milliseconds since 1970
  | { kind: 'ended' }
  | { kind: 'failed'; code: string; reason: string }

export interface Batch {
  items: readonly Item[]
  gone: readonly Gone[]
  anew: readonly string[]
  upToDate: boolean
  final: boolean
}

// Session is what the page has of the workflow that it shows. It knows nothing of how items come; that is follow.ts.
export class Session {
  readonly timeline = new Timeline()
  readonly meter = new Meter()
  readonly version = signal(0) // grows with each change of the timeline
  readonly measured = signal(0) // grows with each change of the meter
  readonly state = signal<State>({ kind: 'connecting' })
  readonly way = signal('') // the one in use
  readonly cursor = signal(0) // of the newest item that is on the screen
  readonly older = signal<'none' | 'more' | 'loading' | 'failed'>('none')
  readonly erased = signal(false) // the history was erased while one was looking
  readonly opened = signal<ReadonlySet<string>>(new Set()) // what the reader has unfolded
  readonly sending = signal<Sending[]>([])
  first = 0 // cursor of the oldest item

  private known = new Map<string, Item>() // by type:id; those that are not part of something else

  constructor(readonly id: string) {}

  // apply takes a batch in the order gone, anew, items. It is drawn when the version grows.
  apply(batch: Batch) {
    for (const gone of batch.gone) {
      this.timeline.remove(gone)
      this.known.delete(`${gone.type}:${gone.id}`)
    }
    if (batch.gone.length > 0 && this.timeline.entries.length === 0) this.erased.value = true
    if (batch.anew.includes(this.id)) {
      this.timeline.clear()
      this.known.clear()
      this.first = 0
      this.erased.value = true
      this.older.value = 'none'
    }
    this.take(batch.items)
    if (batch.items.length > 0) this.erased.value = false
  }

  // prepend takes items from before the oldest one.
  prepend(items: readonly Item[], more: boolean) {
    this.take(items)
    this.older.value = more ? 'more' : 'none'
    this.version.value++
  }

  item(key: string): Item | undefined {
    return this.known.get(key)
  }

  toggle(key: string) {
    const opened = new Set(this.opened.value)
    if (!opened.delete(key)) opened.add(key)
    this.opened.value = opened
  }

  private take(items: readonly Item[]) {
    for (const item of items) {
      this.timeline.add(item)
      if (item.type !== 'delta') this.known.set(`${item.type}:${item.item.id}`, item)
      else this.known.set(`delta:${item.item.messageId}`, item)
      if (!this.first || item.createdAt < this.first) this.first = item.createdAt
      if (item.type === 'message') this.arrived(item.item.id)
    }
  }

  private arrived(id: string) {
    if (this.sending.value.some((s) => s.id === id)) this.sending.value = this.sending.value.filter((s) => s.id !== id)
  }
}

// A message that the reader has sent and that the workflow has not recorded yet.
export interface Sending {
  id: string
  text: string
  problem?: Problem // why it was not accepted; without one it is on its way
}
