import { useState } from 'preact/hooks'

import { token } from '../auth'
import { ago, count, duration, exact } from '../model/format'
import { psql, snippets } from '../model/snippets'
import type { Session, State } from '../session'
import { now, offered, pane, server, type Way, way } from '../store'
import { Chart } from './chart'
import { Copy } from './copy'

const names: Record<Way, string> = {
  auto: 'Automatic', connect: 'Connect', sse: 'Server-sent events', socket: 'WebSocket', 'long-poll': 'Long poll', poll: 'Poll',
}

// Wire shows how items come to this page, and how to read them elsewhere.
export function Wire({ session }: { session: Session | undefined }) {
  return (
    <aside class={`wire ${pane.value === 'wire' ? 'shown' : ''}`} aria-label="The wire">
      <div class="pane-head">
        <h2>Wire</h2>
        <span class="fill" />
        {session && <Status state={session.state.value} />}
        <button class="icon close" aria-label="Close the wire" onClick={() => (pane.value = 'conversation')}>✕</button>
      </div>
      <div class="scroller" tabIndex={-1}>
        {session ? <Details session={session} /> : <p class="quiet">Choose a workflow to see how its items come.</p>}
      </div>
    </aside>
  )
}

function Status({ state }: { state: State }) {
  const [mark, word, tone] = describe(state)
  return (
    <span class="connection" role="status">
      <span class={`mark ${tone}`} aria-hidden="true">{mark}</span> {word}
    </span>
  )
}

export function describe(state: State): [mark: string, word: string, tone: string] {
  switch (state.kind) {
    case 'live':
      return state.upToDate ? ['●', 'live', 'good'] : ['◐', 'not up to date', 'warn']
    case 'waiting':
      return ['◌', 'reconnecting', 'warn']
    case 'ended':
      return ['✓', 'complete', 'good']
    case 'failed':
      return ['✕', 'refused', 'bad']
    default:
      return ['◌', state.kind === 'connecting' ? 'connecting' : 'catching up', 'quiet']
  }
}

function Details({ session }: { session: Session }) {
  session.measured.value
  const { meter } = session
  const cursor = session.cursor.peek()
  const used = session.way.value as Way
  return (
    <>
      <section>
        <div class="figures">
          <div>
            <span class="label">Commit to screen</span>
            <output class="figure">{meter.lag === undefined ? '–' : duration(meter.lag)}</output>
          </div>
          <div>
            <span class="label">Items per second</span>
            <output class="figure">{count(meter.perSecond)}</output>
          </div>
        </div>
        <Chart values={meter.lags} label={`Time from commit to screen, median ${meter.median === undefined ? 'not known' : duration(meter.median)}`} />
        <dl>
          <dt>Way</dt>
          <dd>
            <select aria-label="Way" value={offered.value.includes(way.value) ? way.value : 'auto'} onChange={(e) => (way.value = e.currentTarget.value as Way)}>
              {offered.value.map((w) => (
                <option key={w} value={w}>{w === 'auto' && way.value === 'auto' && used ? `Automatic (${names[used] ?? used})` : names[w]}</option>
              ))}
            </select>
          </dd>
          <dt>Cursor</dt>
          <dd class="mono" data-cursor={cursor} title={cursor ? exact(cursor) : ''}>{cursor ? cursor.toFixed(6) : 'none yet'}</dd>
          <dt>Newest</dt>
          <dd>{cursor ? ago(cursor, now.value) : '–'}</dd>
          <dt>Since opened</dt>
          <dd>{count(meter.total)} {meter.total === 1 ? 'item' : 'items'}</dd>
        </dl>
        {server.value.temporalUI && (
          <p>
            <a href={server.value.temporalUI + encodeURIComponent(session.id)} target="_blank" rel="noopener noreferrer">
              Open in Temporal’s UI ↗
            </a>
          </p>
        )}
      </section>
      <Snippets session={session} />
    </>
  )
}

function Snippets({ session }: { session: Session }) {
  session.measured.value
  const [chosen, choose] = useState(0)
  const all = snippets(session.id, location.origin, session.cursor.peek(), Boolean(token.value))
  const at = Math.min(chosen, all.length - 1)
  const move = (e: KeyboardEvent) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key]
    if (!by) return
    const next = (at + by + all.length) % all.length
    choose(next)
    document.getElementById(`tab-${next}`)?.focus()
  }
  return (
    <>
      <section>
        <h3>Write a row</h3>
        <Copy code={psql(session.id, server.value.database)} />
      </section>
      <section>
        <h3>Follow this workflow</h3>
        <div class="tabs" role="tablist" aria-label="Follow this workflow with" onKeyDown={move}>
          {all.map((s, i) => (
            <button key={s.name} id={`tab-${i}`} role="tab" aria-selected={i === at} aria-controls="snippet" tabIndex={i === at ? 0 : -1} onClick={() => choose(i)}>
              {s.name}
            </button>
          ))}
        </div>
        <div id="snippet" role="tabpanel" aria-labelledby={`tab-${at}`}>
          <Copy code={all[at]!.code} />
        </div>
      </section>
    </>
  )
}
