import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'

import { send } from '../api'
import type { Sending, Session } from '../session'
import { askNow } from '../status'
import { ready, server } from '../store'

// Composer sends messages to the workflow. What is sent is shown until the workflow has recorded it.
export function Composer({ session, onSend }: { session: Session; onSend: () => void }) {
  const [text, setText] = useState('')
  const area = useRef<HTMLTextAreaElement>(null)
  session.version.value
  const closed = session.timeline.progress?.final === true
  const { chat, reason } = server.value

  useLayoutEffect(() => {
    const at = area.current
    if (!at) return
    at.style.height = 'auto'
    at.style.height = `${at.scrollHeight + 2}px`
  }, [text])

  useEffect(() => {
    if (ready.value) for (const s of session.sending.peek()) if (s.problem?.passes) void deliver(session, s)
  }, [session, ready.value])

  const submit = () => {
    if (!text.trim() || !chat) return
    void deliver(session, { id: `page_${crypto.getRandomValues(new Uint32Array(4)).join('')}`, text })
    setText('')
    onSend()
  }
  if (closed) return <p class="composer closed">This workflow is closed. Nothing can be added to it.</p>
  return (
    <form class="composer" onSubmit={(e) => {
      e.preventDefault()
      submit()
    }}>
      {session.sending.value.map((s) => (
        <div key={s.id} class="sending">
          <span class="what" dir="auto">{s.text.slice(0, 200)}</span>
          {s.problem ? (
            <>
              <span class="error" role="alert">{s.problem.text}</span>
              <button type="button" onClick={() => deliver(session, s)}>Send again</button>
              <button type="button" onClick={() => (session.sending.value = session.sending.value.filter((o) => o.id !== s.id))}>Discard</button>
            </>
          ) : (
            <span class="quiet">sending…</span>
          )}
        </div>
      ))}
      <div class="field">
        <textarea id="composer" ref={area} rows={1} dir="auto" value={text} aria-label={`Message to ${session.id}`}
          placeholder={chat ? 'Message' : 'Messages can be sent when Temporal is ready'} aria-describedby="composer-note"
          onInput={(e) => setText(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key !== 'Enter' || e.shiftKey || e.isComposing) return
            e.preventDefault()
            submit()
          }} />
        <button type="submit" class="send" disabled={!chat || !text.trim()} aria-label="Send" title="Send (⏎)">⏎</button>
      </div>
      <p id="composer-note" class="note">{chat ? '⏎ sends, ⇧⏎ breaks the line' : reason}</p>
    </form>
  )
}

// deliver sends a message, again with the same id if it failed: the workflow takes it once.
async function deliver(session: Session, { id, text }: Sending) {
  const put = (message: Sending) => (session.sending.value = session.sending.value.map((s) => (s.id === id ? message : s)))
  if (session.sending.value.some((s) => s.id === id)) put({ id, text })
  else session.sending.value = [...session.sending.value, { id, text }]
  const problem = await send(session.id, id, text)
  if (!problem) return
  put({ id, text, problem })
  askNow()
}
