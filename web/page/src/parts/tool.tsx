import { signal } from '@preact/signals'

import { approve } from '../api'
import { clock, duration, exact } from '../model/format'
import type { Tool } from '../model/timeline'
import type { Session } from '../session'
import { viewing } from '../store'

const words: Record<string, [string, string]> = {
  'input-available': ['●', 'running'],
  'approval-requested': ['?', 'needs your approval'],
  'approval-responded': ['●', 'answered'],
  'output-available': ['✓', 'done'],
  'output-error': ['✕', 'failed'],
  'output-denied': ['⊘', 'denied'],
}
const tones: Record<string, string> = { 'output-available': 'good', 'output-error': 'bad', 'approval-requested': 'warn', 'output-denied': 'quiet' }

// answering is what the answers to requests for approval have come to: the error, or empty while one is on its way.
const answering = signal<Record<string, string>>({})

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
  const state = answering.value[tool.callId]
  const answer = async (approved: boolean) => {
    answering.value = { ...answering.value, [tool.callId]: '' }
    const error = await approve(session.id, tool.callId, approved)
    if (error) answering.value = { ...answering.value, [tool.callId]: error }
  }
  return (
    <div class="approval">
      <button class="filled" disabled={state === ''} onClick={() => answer(true)}>
        Approve
      </button>
      <button class="filled deny" disabled={state === ''} onClick={() => answer(false)}>
        Deny
      </button>
      {state === '' && <span class="quiet">Sent; waiting for the workflow.</span>}
      {state && <span class="error">{state}</span>}
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
