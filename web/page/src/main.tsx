import { computed, effect, signal } from '@preact/signals'
import { render } from 'preact'

import { keepAddress } from './address'
import { App } from './app'
import { forget, token } from './auth'
import { keepFollowing, older, retry } from './follow'
import { actions, listen } from './keys'
import { Session } from './session'
import { askNow, watchStatus } from './status'
import { keep, listState, now, pane, seen, session, theme, type Theme, workflows } from './store'
import { countUnread } from './unread'
import { Watch } from './watch'

const isTheme = (saved: unknown): saved is Theme => saved === 'system' || saved === 'light' || saved === 'dark'
const isSeen = (saved: unknown): saved is Record<string, number> => typeof saved === 'object' && saved !== null

keep('chatfeed.theme', theme, isTheme)
keep('chatfeed.seen', seen, isSeen)
effect(() => {
  document.documentElement.dataset.theme = theme.value
})
effect(() => {
  document.title = session.value ? `${session.value.id} · chatfeed` : 'chatfeed'
})

actions.open = (workflow) => {
  pane.value = 'conversation'
  look()
  if (workflow !== (session.peek()?.id ?? '')) session.value = workflow ? new Session(workflow) : undefined
}
actions.older = () => {
  const current = session.peek()
  if (current) void older(current)
}
keepAddress(actions.open)
const connectAnew = keepFollowing()
const list = new Watch()
actions.retry = () => {
  list.retry()
  retry(connectAnew)
}
actions.signOut = () => {
  session.value = undefined
  forget() // before another is chosen
  choosing.value = true
}

// When one of the connections to the server comes back, the other is tried at once.
const listed = computed(() => listState.value.kind === 'live')
const followed = computed(() => ['live', 'catching-up'].includes(session.value?.state.value.kind ?? ''))
effect(() => {
  if (followed.value) list.retry()
})
effect(() => {
  if (listed.value && session.peek()?.state.peek().kind === 'waiting') retry(connectAnew)
})
let as = token.peek()
effect(() => {
  if (token.value === as) return
  as = token.value
  list.restart()
  askNow()
})

// Whoever comes without an address, or signs in, is shown the newest workflow, as soon as there is one.
const choosing = signal(true)
effect(() => {
  if (!choosing.value || listState.value.kind !== 'live' || session.peek()) return
  const newest = workflows.value[0]
  if (newest) queueMicrotask(() => ((choosing.value = false), actions.open(newest.id)))
})

// look remembers what has been seen of the workflow.
function look() {
  const current = session.peek()
  const cursor = current?.cursor.peek() ?? 0
  if (current && !document.hidden && cursor > (seen.peek()[current.id] ?? 0)) seen.value = { ...seen.peek(), [current.id]: cursor }
}

setInterval(() => {
  look()
  const at = Date.now() / 1000
  now.value = at
  session.peek()?.meter.tick(at)
}, 1000)

// The figures change at most four times a second, so that they can be read.
let shown: unknown
setInterval(() => {
  const current = session.peek()
  const figures = current && `${current.id} ${current.cursor.peek()} ${current.meter.total} ${current.meter.perSecond}`
  if (!current || figures === shown) return
  shown = figures
  current.measured.value++
}, 250)

listen()
list.start()
countUnread()
void watchStatus()
render(<App />, document.getElementById('app')!)
