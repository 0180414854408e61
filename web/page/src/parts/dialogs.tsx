import { useEffect, useRef } from 'preact/hooks'

import { keys } from '../keys'
import { bytes, exact } from '../model/format'
import { text } from '../model/item'
import { help, session, viewing } from '../store'
import { Copy } from './copy'

// A longer text is folded, and shown in pieces of the second length.
const most = 8192
const piece = 2048

// Dialog is modal: the browser keeps the focus in it and gives it back.
function Dialog({ title, close, children }: { title: string; close: () => void; children: preact.ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current!.showModal(), [])
  return (
    <dialog ref={dialog} aria-label={title} onClose={close} onClick={(e) => e.target === dialog.current && close()}>
      <div class="pane-head">
        <h2 class="id">{title}</h2>
        <span class="fill" />
        <button class="icon" onClick={close} aria-label="Close">✕</button>
      </div>
      <div class="scroller" tabIndex={0} role="group" aria-label={title}>{children}</div>
    </dialog>
  )
}

// Viewer shows an item as it was stored: long texts as text, all of it as JSON with its cursor.
export function Viewer() {
  const current = session.value
  current?.version.value
  const item = current?.item(viewing.value)
  if (!viewing.value || !item) return null
  const json = JSON.stringify(item, null, 2)
  const long = text(item.item.message)
  return (
    <Dialog title={viewing.value} close={() => (viewing.value = '')}>
      <p class="quiet">
        {item.type}, {exact(item.createdAt)}, {bytes(json.length)}
      </p>
      {long.length > most && <Long text={long} />}
      <Copy code={json} shown={json.length > 2 * most ? `${json.slice(0, most)}…` : json} />
    </Dialog>
  )
}

// Long shows a text in pieces, of which the browser lays out those in sight only: a line of 1 MiB takes it a minute.
function Long({ text }: { text: string }) {
  const pieces = []
  for (let at = 0; at < text.length; ) {
    const cut = text.lastIndexOf(' ', at + piece)
    const end = at + piece >= text.length ? text.length : cut > at ? cut + 1 : at + piece
    pieces.push(<p key={at}>{text.slice(at, end)}</p>)
    at = end
  }
  return (
    <div class="code long" dir="auto" tabIndex={0} role="group" aria-label="The whole text">
      {pieces}
    </div>
  )
}

export function Help() {
  if (!help.value) return null
  return (
    <Dialog title="Keys" close={() => (help.value = false)}>
      <dl class="keys">
        {keys.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
