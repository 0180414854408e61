import { effect, signal } from '@preact/signals'

import { call } from './api'
import { token } from './auth'
import { cursorTime } from './model/format'
import { inSight, type Listed, listState, seen, session, workflows } from './store'

// Unread messages of the workflows in sight. The list tells heads only, so the server is asked to count, once for all rows that have
// changed and at most once a second. It counts no further than a hundred.

interface Counted {
  head: number // of the workflow, when it was counted
  after: number // what had been seen
  messages: number
}

export const counted = signal<Record<string, Counted>>({})
const interval = 1000
const afterFailure = 10_000

// isUnread reports whether a workflow has items that were not shown.
export const isUnread = (w: Listed): boolean => session.value?.id !== w.id && w.head > (seen.value[w.id] ?? Infinity)

// unread is how many messages of a workflow were not shown, as far as it is known.
export function unread(w: Listed): number | undefined {
  const known = counted.value[w.id]
  return known && known.after === seen.value[w.id] ? known.messages : undefined
}

// countUnread keeps the counts of what is in sight. It never ends.
export function countUnread() {
  let busy = false
  const count = async () => {
    const stale = inSight.value.filter((w) => {
      const known = counted.peek()[w.id]
      return isUnread(w) && !(known?.head === w.head && known.after === seen.value[w.id])
    })
    if (busy || document.hidden || stale.length === 0 || listState.value.kind !== 'live') return
    busy = true
    let pause = interval
    const asked = stale.slice(0, 100).map((w) => ({ id: w.id, head: w.head, after: seen.peek()[w.id] ?? 0 }))
    try {
      const { messages } = await call<{ messages?: number[] }>('FeedService/CountMessages', {
        cursors: asked.map(({ id, after }) => ({ workflowId: id, ...(after && { after: cursorTime(after) }) })),
      })
      counted.value = { ...counted.peek(), ...Object.fromEntries(asked.map(({ id, head, after }, i) => [id, { head, after, messages: messages?.[i] ?? 0 }])) }
    } catch {
      pause = afterFailure // the rows have a dot meanwhile
    }
    setTimeout(() => {
      busy = false
      void count()
    }, pause)
  }
  effect(() => {
    void token.value // others have seen other items
    counted.value = {}
  })
  effect(() => {
    void workflows.value
    void count()
  })
}
