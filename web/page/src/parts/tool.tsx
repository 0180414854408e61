import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'

import { approve, type Problem } from '../api'
import { clock, duration, exact } from '../model/format'
import type { Tool } from '../model/timeline'
import type { Session } from '../session'
import { askNow } from '../status'
import { ready, viewing } from '../store'

const words: Record<string, [string, string]> = {
  'input-available': ['●', 'running'],
  'approval-requested': ['?', 'needs your approval'],
  'approval-responded': ['●', 'answered'],
  'output-available': ['✓', 'done'],
  'output-error': ['✕', 'failed'],
  'output-denied': ['⊘', 'denied'],
}
const tones: Record<string, string> = { 'output-available': 'good', 'output-error': 'bad', 'approval-requested': 'warn', 'output-denied': 'quiet' }

// answering is what the answers to requests for approval have come to: the problem, or nothing while one is on its way.
const answering = signal<Record<string, Problem | undefined>>({})

// forget lets a call be answered again as if nothing had been in the way.
const forget = (callId: string) => (answering.value = Object.fromEntries(Object.entries(answering.value).filter(([id]) => id !== callId)))

// ToolRow draws a call of a tool: one line, which opens, and the two buttons where a person has to decide.
export function ToolRow({ tool, session, open }: { tool: Tool; session: Session; open: boolean }) {
  const key = `tool:${tool.callId}`
  const [mark, word] = words[tool.state] ?? ['●', tool.state]
  const took = tool.at > tool.began && tool.state.startsWith('output') ? duration(tool.at - tool.began) : ''
  const asks = tool.state === 'approval-requested'
  return (
    <div class="tool" role="group" data-item={key} aria-label={`Tool ${tool.name}, ${word}`}>
      <div class="head">
        <button class="opener" aria-expanded={open || asks} onClick={() => session.toggle(key)}>
          <span class="turn" aria-hidden="true">▸</span>
          <span class="name">{tool.name || tool.callId}</span>
          <span class="input">{open ? '' : JSON.stringify(tool.input ?? {})?.slice(0, 200)}</span>
          <span class={`state ${tones[tool.state] ?? 'accent'}`}>
            <span aria-hidden="true">{mark}</span> {word} {took}
          </span>
        </button>
        <button class="time" title={`${exact(tool.at)}. Open as JSON`} onClick={() => (viewing.value = `tool:${tool.items[tool.items.length - 1]!.item.id}`)}>
          {clock(tool.at)}
        </button>
      </div>
      {(open || asks) && <Value name="Input" value={tool.input} />}
      {open && tool.output !== undefined && <Value name="Output" value={tool.output} />}
      {tool.error && <p class="error">{tool.error}</p>}
      {asks && <Approval tool={tool} session={session} />}
    </div>
  )
}

function Approval({ tool, session }: { tool: Tool; session: Session }) {
  const { callId } = tool
  const sent = callId in answering.value
  const problem = answering.value[callId]
  useEffect(() => {
    if (ready.value && answering.peek()[callId]?.passes) forget(callId)
  }, [ready.value])
  const answer = async (approved: boolean) => {
    answering.value = { ...answering.value, [callId]: undefined }
    const problem = await approve(session.id, callId, approved)
    if (!problem) return
    answering.value = { ...answering.value, [callId]: problem }
    askNow()
  }
  return (
    <div class="approval">
      <button class="filled" disabled={sent && !problem} onClick={() => answer(true)}>
        Approve
      </button>
      <button class="filled deny" disabled={sent && !problem} onClick={() => answer(false)}>
        Deny
      </button>
      {sent && !problem && <span class="quiet">Sent; waiting for the workflow.</span>}
      {problem && <span class="error" role="alert">{problem.text}</span>}
    </div>
  )
}

function Value({ name, value }: { name: string; value: unknown }) {
  const text = JSON.stringify(value, null, 2) ?? 'none'
  return (
    <div class="value">
      <span class="label">{name}</span>
      <pre class="code" tabIndex={0} aria-label={name} dir="ltr">
        {text.length > 8192 ? `${text.slice(0, 8192)}…` : text}
      </pre>
    </div>
  )
}
