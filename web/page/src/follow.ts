import { effect } from '@preact/signals'
import { type Feed, follow, type ItemType } from '@chatfeed/client'

import { answered, headers, token } from './auth'
import { type Item, text, types } from './model/item'
import { plain } from './model/plain'
import type { Batch, Session, State } from './session'
import { announcement, offered, session, way } from './store'

// How many items are read before the first paint, and how many older ones at once.
const first = 200
const page = 500
// A page that has been hidden for so long follows nothing: over HTTP/1.1, a browser has six connections to a server for all its tabs.
const hiddenFor = 10_000

let feed: Feed | undefined

// connect follows the session's workflow until the function that it returns is called. It begins after what the session has.
export function connect(current: Session): () => void {
  const after = current.cursor.peek()
  const sent = headers()
  const mine = follow('', {
    workflows: [current.id],
    types: types as ItemType[],
    transport: offered.peek().includes(way.peek()) ? way.peek() : 'auto',
    ...(token.peek() && { token: () => token.peek() }),
    ...(after ? { after } : { last: first }),
  })
  feed = mine
  const unsubscribe = mine.subscribe(() => {
    if (feed !== mine) return
    show(current, mine)
    if (mine.state.status === 'failed') answered(mine.state.code, sent)
  })
  void run(current, mine)
  return () => {
    unsubscribe()
    mine.close()
    if (feed === mine) feed = undefined
  }
}

async function run(current: Session, mine: Feed) {
  const painter = new Painter(current)
  let live = false
  try {
    for await (const batch of mine) {
      if (feed !== mine) return
      const fresh = current.first === 0
      current.apply(batch as unknown as Batch)
      if (fresh && batch.items.length > 0) current.older.value = batch.items.length >= first || !batch.upToDate ? 'more' : 'none'
      await painter.add(batch.items as unknown as Item[], live)
      live = batch.upToDate
    }
  } catch {
    // The state says what has happened.
  }
}

// The most items that may wait to be painted. A page that cannot keep up reads no further, and the server keeps its place.
const most = 2000

// Painter draws what has come with the next frame, whatever the number of batches, as each live item is a batch of its own. It measures
// how long that took from the commit, and moves the cursor to what is on the screen.
class Painter {
  private waiting: Item[] = []
  private oldest = 0 // created_at of the first live one
  private frame: Promise<void> | undefined

  constructor(private readonly session: Session) {}

  // add returns when more may be added.
  add(items: Item[], live: boolean): Promise<void> | undefined {
    this.waiting.push(...items)
    if (live && items[0]) this.oldest ||= items[0].createdAt
    this.frame ??= nextFrame().then(() => this.paint())
    return this.waiting.length > most ? this.frame : undefined
  }

  private async paint() {
    const { session, waiting, oldest } = this
    this.frame = undefined
    this.waiting = []
    this.oldest = 0
    session.version.value++
    await drawn()
    const newest = waiting[waiting.length - 1]
    session.meter.painted(oldest, waiting.length, Date.now() / 1000)
    if (!newest) return
    session.cursor.value = newest.createdAt
    tell(waiting, oldest > 0)
  }
}

const nextFrame = () => new Promise<void>((resolve) => (document.hidden ? setTimeout(resolve, 100) : requestAnimationFrame(() => resolve())))

// drawn resolves when Preact has changed the document, which it does before the frame is painted.
const drawn = () => new Promise<void>((resolve) => queueMicrotask(() => queueMicrotask(resolve)))

function tell(items: Item[], live: boolean) {
  if (!live) return
  const message = items.findLast((i) => i.type === 'message' && i.item.role !== 'user')
  const asked = items.findLast((i) => i.type === 'tool' && i.item.state === 'approval-requested')
  const said = [message && `${message.item.role}: ${plain(text(message.item.message).slice(0, 1000)).slice(0, 300)}`, asked && `${asked.item.name} needs your approval`]
  announcement.value = said.filter(Boolean).join('. ') || announcement.value
}

function show(current: Session, mine: Feed) {
  const { state } = mine
  if ('transport' in state) current.way.value = state.transport
  current.state.value = translate(state)
}

function translate(state: Feed['state']): State {
  switch (state.status) {
    case 'live':
      return { kind: 'live', upToDate: true }
    case 'catching-up':
      return state.away ? { kind: 'live', upToDate: false } : { kind: 'catching-up' }
    case 'waiting':
      return { kind: 'waiting', reason: state.reason, retryAt: state.retryAt }
    case 'ended':
      return { kind: 'ended' }
    case 'failed':
      return { kind: 'failed', code: state.code, reason: state.reason }
    default:
      return { kind: 'connecting' }
  }
}

// older reads items from before the oldest one.
export async function older(current: Session) {
  if (current.older.value !== 'more' && current.older.value !== 'failed') return
  current.older.value = 'loading'
  const query = new URLSearchParams({ beforeTimestamp: current.first.toFixed(6), last: String(page), types: types.join() })
  try {
    const sent = headers()
    const response = await fetch(`/workflows/${encodeURIComponent(current.id)}/chatData?${query}`, { headers: sent })
    if (response.status === 401) answered('unauthenticated', sent)
    if (!response.ok) throw new Error(response.statusText)
    const answer = (await response.json()) as { items: Item[]; upToDate: boolean }
    current.prepend(answer.items, !answer.upToDate && answer.items.length > 0)
  } catch {
    current.older.value = 'failed'
  }
}

// retry connects at once, also after the server has refused.
export function retry(again: () => void) {
  if (!feed || feed.state.status === 'failed' || feed.state.status === 'ended') again()
  else feed.retry()
}

// keepFollowing follows the workflow that is shown, by the chosen way, while the page can be seen. The function that it returns connects anew.
export function keepFollowing(): () => void {
  let leave: (() => void) | undefined
  let hidden: ReturnType<typeof setTimeout> | undefined
  const begin = () => {
    leave?.()
    const current = session.peek()
    leave = current && current.state.peek().kind !== 'ended' ? connect(current) : undefined
  }
  effect(() => {
    void session.value
    void way.value
    void token.value
    begin()
  })
  document.addEventListener('visibilitychange', () => {
    clearTimeout(hidden)
    if (document.hidden) {
      hidden = setTimeout(() => {
        leave?.()
        leave = undefined
      }, hiddenFor)
    } else if (!leave) begin()
  })
  return begin
}
