import { Component } from 'preact'

import { bytes, clock, exact } from '../model/format'
import { body, type Message, type Part } from '../model/message'
import type { Session } from '../session'
import { viewing } from '../store'
import { Caret, Markdown } from './markdown'

// A longer text is folded, and opens whole in the viewer. What the page has seen grow stays as it is up to the second length.
const foldAt = 8 << 10
const foldGrown = 64 << 10

interface Props {
  message: Message
  session: Session
  opened: ReadonlySet<string>
}

// MessageRow draws a message, whole or growing, with what is behind it folded: reasoning, and attempts that were replaced.
export class MessageRow extends Component<Props> {
  override shouldComponentUpdate(next: Props) {
    return next.message !== this.props.message || next.opened !== this.props.opened || next.session !== this.props.session
  }

  render({ message, session, opened }: Props) {
    const key = `message:${message.id}`
    const item = message.complete ? `message:${message.version}` : `delta:${message.id}`
    return (
      <article class={`message ${side(message.role)}`} data-item={key} data-complete={message.complete} aria-label={`${message.role}, ${clock(message.at)}`}>
        <header>
          <b>{name(message.role)}</b>
          {message.edited && <span class="tag">edited</span>}
          {message.status === 'failed' || message.status === 'error' ? <span class="tag bad">failed</span> : null}
          {(message.status === 'stopped' || message.status === 'cancelled') && <span class="tag">stopped</span>}
          <button class="time" title={`${exact(message.at)}. Open as JSON`} onClick={() => (viewing.value = item)}>
            {clock(message.at)}
          </button>
        </header>
        {message.replaced.map((old) => (
          <Opening key={old.attempt} open={opened.has(`${key}:${old.attempt}`)} toggle={() => session.toggle(`${key}:${old.attempt}`)} class="replaced"
            title={<s>{`attempt ${old.attempt}, replaced`}</s>}>
            <s class="old" dir="auto">{body(old.parts)}</s>
          </Opening>
        ))}
        {message.parts.map((part, i) => (
          <PartOf key={part.number} part={part} message={message} session={session} opened={opened} last={i === message.parts.length - 1} />
        ))}
        {!message.complete && message.parts.length === 0 && <Caret />}
      </article>
    )
  }
}

function PartOf({ part, message, session, opened, last }: Props & { part: Part; last: boolean }) {
  const growing = !message.complete && last
  const key = `message:${message.id}:part:${part.number}`
  if (part.kind !== 'text') {
    const title = part.kind === 'reasoning' ? (growing ? 'Reasoning…' : 'Reasoning') : part.kind
    return (
      <Opening open={opened.has(key)} toggle={() => session.toggle(key)} title={title} class="reasoning">
        {part.kind === 'reasoning' ? <Markdown text={part.text} caret={growing} /> : <pre class="code" tabIndex={0}>{part.text}</pre>}
      </Opening>
    )
  }
  if (part.text.length <= (message.grown ? foldGrown : foldAt)) return <Markdown text={part.text} caret={growing} />
  if (growing) {
    return (
      <>
        <p class="quiet">{bytes(part.text.length - foldAt)} before this</p>
        <Markdown text={part.text.slice(-foldAt)} caret />
      </>
    )
  }
  return (
    <>
      <Markdown text={part.text.slice(0, foldAt)} />
      <button class="more" onClick={() => (viewing.value = `message:${message.version}`)}>
        Open all {bytes(part.text.length)}
      </button>
    </>
  )
}

export function Opening(props: { open: boolean; toggle: () => void; title: preact.ComponentChildren; class?: string; children: preact.ComponentChildren }) {
  return (
    <div class={`opening ${props.class ?? ''}`}>
      <button class="opener" aria-expanded={props.open} onClick={props.toggle}>
        <span class="turn" aria-hidden="true">▸</span>
        {props.title}
      </button>
      {props.open && <div class="opened">{props.children}</div>}
    </div>
  )
}

const side = (role: string) => (role === 'user' ? 'user' : role === 'assistant' ? 'assistant' : 'other')
const name = (role: string) => ({ user: 'You', assistant: 'Assistant' })[role] ?? (role || 'unknown')
