import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'

import { linkTo } from '../address'
import { denied, token } from '../auth'
import { actions } from '../keys'
import { ago, count, exact } from '../model/format'
import { found, inSight, type Listed, listState, now, pane, search, session, workflows } from '../store'
import { isUnread, unread } from '../unread'
import { ThemeButton } from './theme'

// The height of a row, as in the styles.
const height = 44

// Sidebar lists the workflows, of which there may be thousands: only those in sight are drawn.
export function Sidebar() {
  const list = useRef<HTMLDivElement>(null)
  const [top, setTop] = useState(0)
  const [room, setRoom] = useState(900)
  const all = found.value
  const chosen = session.value?.id

  useEffect(() => {
    const observer = new ResizeObserver(() => setRoom(list.current!.clientHeight))
    observer.observe(list.current!)
    return () => observer.disconnect()
  }, [])
  useLayoutEffect(() => {
    const at = found.peek().findIndex((w) => w.id === chosen) * height
    const div = list.current!
    if (at >= 0 && (at < div.scrollTop || at + height > div.scrollTop + div.clientHeight)) div.scrollTop = at - div.clientHeight / 3
  }, [chosen])

  const from = Math.max(0, Math.floor(top / height) - 8)
  const to = Math.min(all.length, Math.ceil((top + room) / height) + 8)
  useEffect(() => {
    inSight.value = all.slice(from, to)
  }, [all, from, to])
  return (
    <nav class={`sidebar ${pane.value === 'list' ? 'shown' : ''}`} aria-label="Workflows">
      <div class="pane-head">
        <input id="search" type="search" placeholder="Search workflows" aria-label="Search workflows" title="Search workflows (/ or ⌘K)" autocomplete="off"
          spellcheck={false} value={search.value} onInput={(e) => (search.value = e.currentTarget.value)} />
      </div>
      <div class="scroller" ref={list} onScroll={(e) => setTop(e.currentTarget.scrollTop)} tabIndex={-1}>
        <ul style={{ height: `${all.length * height}px` }}>
          {all.slice(from, to).map((w, i) => (
            <Row key={w.id} workflow={w} at={from + i} of={all.length} chosen={w.id === chosen} />
          ))}
        </ul>
      </div>
      <div class="foot">
        <p role="status">{note(all.length)}</p>
        <span class="fill" />
        {token.value && <button onClick={actions.signOut}>Sign out</button>}
        <ThemeButton />
      </div>
    </nav>
  )
}

function note(shown: number): string {
  const state = listState.value
  if (denied.value) return denied.value === 'refused' ? 'Token refused' : 'Not signed in'
  if (state.kind === 'away' || state.kind === 'refused') return state.reason
  if (state.kind === 'loading') return 'Loading…'
  const total = workflows.value.length
  if (search.value && shown === 0) return 'No workflow matches.'
  return search.value ? `${count(shown)} of ${count(total)} workflows` : `${count(total)} ${total === 1 ? 'workflow' : 'workflows'}`
}

function Row({ workflow, at, of, chosen }: { workflow: Listed; at: number; of: number; chosen: boolean }) {
  const [mark, word, tone] = standing(workflow)
  return (
    <li style={{ top: `${at * height}px` }} aria-setsize={of} aria-posinset={at + 1}>
      <a href={linkTo(workflow.id)} class={chosen ? 'chosen' : ''} aria-current={chosen ? 'page' : undefined}
        onClick={(e) => {
          if (e.metaKey || e.ctrlKey || e.shiftKey) return
          e.preventDefault()
          actions.open(workflow.id)
        }}>
        <span class={`mark ${tone}`} aria-hidden="true">{mark}</span>
        <span class="id" title={workflow.id}>{workflow.id}</span>
        <span class="when" title={exact(workflow.head)}>{ago(workflow.head, now.value)}</span>
        <span class="status">{word}</span>
        {isUnread(workflow) && <Unread messages={unread(workflow) ?? 0} />}
      </a>
    </li>
  )
}

// Unread is a number of messages, or a dot for items of other types. The server counts to a hundred.
function Unread({ messages }: { messages: number }) {
  if (messages === 0) {
    return (
      <span class="unread" title="New items, no message">
        <span aria-hidden="true">●</span> <span class="hidden">new items</span>
      </span>
    )
  }
  const shown = messages > 99 ? '99+' : messages
  return (
    <span class="unread" title={`${shown} new ${messages === 1 ? 'message' : 'messages'}`}>
      {shown} <span class="hidden">{messages === 1 ? 'new message' : 'new messages'}</span>
    </span>
  )
}

// standing says how a workflow is, by shape, word and colour.
export function standing(w: { status: string; final: boolean; percent: number | undefined }): [mark: string, word: string, tone: string] {
  const status = w.status || (w.final ? 'finished' : '')
  if (/fail|error|terminat|timed/i.test(status)) return ['✕', status, 'bad']
  if (/cancel|stopped/i.test(status)) return ['⊘', status, 'quiet']
  if (w.final) return ['✓', status, 'good']
  if (w.percent === 100 || /^(done|complete|idle)/i.test(status)) return ['✓', status, 'good']
  if (/approv|wait/i.test(status)) return ['?', status, 'warn']
  return ['●', status || 'open', 'accent']
}
