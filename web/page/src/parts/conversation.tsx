import { useEffect, useRef, useState } from 'preact/hooks'

import { denied } from '../auth'
import { actions } from '../keys'
import { count } from '../model/format'
import { type Row, rows } from '../model/rows'
import type { Entry } from '../model/timeline'
import type { Session } from '../session'
import { server } from '../store'
import { Composer } from './composer'
import { Building, Erased, FirstItems } from './empty'
import { FoldRow, Line } from './lines'
import { MessageRow } from './message'
import { ToolRow } from './tool'
import { Virtual, type Where } from './virtual'

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
  const toRow = useRef((_key: string) => {})
  const [left, setLeft] = useState<number | undefined>() // how many items there were when the reader left the end
  const fills = useRef(0)
  useEffect(() => {
    // What has been read is mostly folded, and leaves the screen empty.
    if (all.length < few && session.older.value === 'more' && fills.current++ < most) actions.older()
  }, [all.length, session.older.value])
  const newer = left === undefined ? 0 : timeline.count - left
  const asks = pending(timeline.entries)
  const [where, setWhere] = useState<Where>('seen') // of what asks
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
        <Virtual label="Conversation" rows={all} estimate={estimate} draw={draw} toEnd={toEnd} toRow={toRow} onTop={actions.older}
          onEnd={(atEnd) => setLeft(atEnd ? undefined : timeline.count)} before={<Older session={session} />} watch={asks} onWatch={setWhere} />
      )}
      <div class="pills">
        {asks && where !== 'seen' && (
          <button class="pill warn" onClick={() => toRow.current(asks)}>
            Approval needed {where === 'above' ? '↑' : '↓'}
          </button>
        )}
        {left !== undefined && (
          <button id="to-end" class="pill" onClick={() => toEnd.current()}>
            {newer > 0 ? `${count(newer)} new ↓` : 'To the end ↓'}
          </button>
        )}
      </div>
      {(session.state.value.kind !== 'failed' || denied.value) && <Composer session={session} onSend={() => toEnd.current()} />}
    </div>
  )
}

// pending is the key of the latest tool that asks for approval.
const pending = (entries: Entry[]) => entries.findLast((e) => e.kind === 'tool' && e.tool.state === 'approval-requested')?.key

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
