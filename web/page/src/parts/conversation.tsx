import { useEffect, useRef, useState } from 'preact/hooks'

import { actions } from '../keys'
import { count } from '../model/format'
import { type Row, rows } from '../model/rows'
import type { Session } from '../session'
import { server } from '../store'
import { Composer } from './composer'
import { Building, Erased, FirstItems } from './empty'
import { FoldRow, Line } from './lines'
import { MessageRow } from './message'
import { ToolRow } from './tool'
import { Virtual } from './virtual'

// With fewer rows than this, older items are read without being asked for, so many times.
const few = 20
const most = 4

// Conversation shows a workflow's items as people read them.
export function Conversation({ session }: { session: Session }) {
  session.version.value
  const { timeline } = session
  const opened = session.opened.value
  const all = rows(timeline.entries, opened)
  const toEnd = useRef(() => {})
  const [left, setLeft] = useState<number | undefined>() // how many items there were when the reader left the end
  const fills = useRef(0)
  useEffect(() => {
    // What has been read is mostly folded, and leaves the screen empty.
    if (all.length < few && session.older.value === 'more' && fills.current++ < most) actions.older()
  }, [all.length, session.older.value])
  const newer = left === undefined ? 0 : timeline.count - left
  const empty = all.length === 0 && session.sending.value.length === 0

  const draw = (row: Row) => {
    switch (row.kind) {
      case 'message':
        return <MessageRow message={row.message} session={session} opened={opened} />
      case 'tool':
        return <ToolRow tool={row.tool} session={session} open={opened.has(row.key)} />
      case 'fold':
        return <FoldRow fold={row} session={session} />
      default:
        return <Line item={row.item} />
    }
  }
  return (
    <div class="conversation">
      {empty ? (
        <Nothing session={session} />
      ) : (
        <Virtual label="Conversation" rows={all} estimate={estimate} draw={draw} toEnd={toEnd} onTop={actions.older}
          onEnd={(atEnd) => setLeft(atEnd ? undefined : timeline.count)} before={<Older session={session} />} />
      )}
      {left !== undefined && (
        <button id="to-end" class="pill" onClick={() => toEnd.current()}>
          {newer > 0 ? `${count(newer)} new ↓` : 'To the end ↓'}
        </button>
      )}
      {session.state.value.kind !== 'failed' && <Composer session={session} onSend={() => toEnd.current()} />}
    </div>
  )
}

// estimate is the height of a row that has not been drawn.
function estimate(row: Row): number {
  if (row.kind === 'message') return 60 + Math.min(3000, row.message.parts.reduce((sum, p) => sum + Math.ceil(p.text.length / 90) * 21, 0))
  return row.kind === 'line' ? 20 : row.kind === 'fold' ? 28 : 40
}

function Older({ session }: { session: Session }) {
  const state = session.older.value
  if (state === 'none') return <p class="older">The beginning</p>
  if (state === 'failed') {
    return (
      <p class="older">
        Older items could not be read. <button onClick={actions.older}>Try again</button>
      </p>
    )
  }
  return <p class="older">{state === 'loading' ? 'Reading older items…' : <button onClick={actions.older}>Older items ↑</button>}</p>
}

function Nothing({ session }: { session: Session }) {
  const state = session.state.value
  if (session.erased.value) return <Erased />
  if (state.kind === 'failed') return <div class="middle" />
  if (state.kind === 'connecting' || state.kind === 'catching-up') return <p class="middle quiet">Reading…</p>
  if (server.value.starting) return <Building />
  return <FirstItems id={session.id} />
}
