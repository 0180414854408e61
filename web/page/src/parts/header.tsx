import { useEffect, useState } from 'preact/hooks'

import { type Problem, stop } from '../api'
import { denied } from '../auth'
import { actions, toggleWire } from '../keys'
import type { Session, State } from '../session'
import { listState, now, pane, ready, server } from '../store'
import { standing } from './sidebar'
import { SignIn } from './signin'

// Header says which workflow is shown, how far it is, and stops its answer.
export function Header({ session }: { session: Session | undefined }) {
  return (
    <header class="pane-head">
      <button class="narrow" aria-expanded={pane.value === 'list'} onClick={() => (pane.value = pane.value === 'list' ? 'conversation' : 'list')}>
        <span aria-hidden="true">☰</span> <span class="hidden">Workflows</span>
      </button>
      {session ? <Title session={session} /> : <h1 class="id">chatfeed</h1>}
      <span class="fill" />
      <button class="icon" onClick={toggleWire} title="The wire (.)" aria-label="Show or hide the wire">◨</button>
    </header>
  )
}

function Title({ session }: { session: Session }) {
  session.version.value
  const progress = session.timeline.progress
  const [problem, setProblem] = useState<Problem>()
  useEffect(() => {
    if (ready.value) setProblem(undefined)
  }, [session, ready.value, progress?.at])
  const [mark, word, tone] = standing({ status: progress?.status ?? '', final: progress?.final ?? false, percent: progress?.percent })
  const working = tone === 'accent' || tone === 'warn'
  return (
    <>
      <h1 class="id" title={session.id}>{session.id}</h1>
      {progress && (
        <span class="progressing">
          <span class={`mark ${tone}`} aria-hidden="true">{mark}</span>
          <span class="word">{word}</span>
          {working && <b class="percent">{Math.round(progress.percent)} %</b>}
        </span>
      )}
      {progress && working && server.value.chat && (
        <button class="stop" title="Stop the answer; the workflow goes on" onClick={async () => setProblem(await stop(session.id))}>
          Stop
        </button>
      )}
      {problem && <span class="error" role="alert">{problem.text}</span>}
    </>
  )
}

// Bar is the thin line under the header that says what is wrong with the connection, and what that means.
export function Bar({ session }: { session: Session | undefined }) {
  const state = session?.state.value
  const away = !session && listState.value.kind === 'away' ? (listState.value as { reason: string }).reason : ''
  if (away) return <p class="bar warn" role="status">{away}</p>
  if (!state) return null
  if (denied.value) return session!.timeline.count > 0 ? <div class="bar"><SignIn /></div> : null
  if (state.kind === 'waiting') return <Waiting state={state} />
  if (state.kind === 'live' && !state.upToDate) {
    return (
      <p class="bar warn" role="status">
        The server cannot reach the database, so this may not be up to date. Nothing is lost; it goes on by itself.
      </p>
    )
  }
  if (state.kind === 'failed') {
    return (
      <p class="bar bad" role="alert">
        {state.code === 'permission_denied' ? 'You may not read this workflow' : 'The feed was refused'}: {state.reason}.
        <button onClick={() => actions.retry()}>Try again</button>
      </p>
    )
  }
  return null
}

function Waiting({ state }: { state: Extract<State, { kind: 'waiting' }> }) {
  now.value
  const [, tick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 250)
    return () => clearInterval(timer)
  }, [])
  const left = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000))
  return (
    <p class="bar warn">
      <span role="status">Reconnecting: {state.reason}. Nothing is lost.</span>
      <span class="count">{left > 0 ? `Next try in ${left} s` : 'Trying…'}</span>
      <button onClick={() => actions.retry()}>Now</button>
    </p>
  )
}
