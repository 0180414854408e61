import { effect } from '@preact/signals'
import { render } from 'preact'

import { keepAddress } from './address'
import { App } from './app'
import { keepFollowing, older, retry } from './follow'
import { actions, listen } from './keys'
import { Session } from './session'
import { keep, listState, now, pane, seen, session, theme, type Theme, workflows } from './store'
import { Watch, watchStatus } from './watch'

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
actions.retry = () => retry(connectAnew)

// Whoever comes without an address is shown the newest workflow, as soon as there is one.
const stopChoosing = effect(() => {
  if (listState.value.kind !== 'live' || session.peek()) return
  const newest = workflows.value[0]
  if (newest) queueMicrotask(() => (stopChoosing(), actions.open(newest.id)))
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
new Watch().start()
void watchStatus()
render(<App />, document.getElementById('app')!)
