import { Refused } from './api'
import { answered, headers } from './auth'

// streamed calls a streaming method of a Connect service in JSON and returns its messages: each comes after a byte of flags and its
// length in four bytes.
export async function* streamed<T>(method: string, request: object, signal: AbortSignal): AsyncGenerator<T> {
  const sent = headers()
  const response = await fetch(`/chatfeed.v1.${method}`, {
    method: 'POST',
    headers: { ...sent, 'Content-Type': 'application/connect+json', 'Connect-Protocol-Version': '1' },
    body: envelope(JSON.stringify(request)),
    signal,
  }).catch(() => {
    throw new Refused('unavailable', 'the server cannot be reached')
  })
  if (!response.ok) {
    const { code, message } = await response.json().catch(() => ({}))
    answered(code, sent)
    throw new Refused(code ?? String(response.status), message ?? response.statusText)
  }
  const reader = response.body!.getReader()
  let rest = new Uint8Array(0)
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Refused('unavailable', 'the connection was lost')
    })
    if (done) return
    const bytes = new Uint8Array(rest.length + value.length)
    bytes.set(rest)
    bytes.set(value, rest.length)
    let at = 0
    while (bytes.length - at >= 5) {
      const length = new DataView(bytes.buffer, at).getUint32(1)
      if (bytes.length - at < length + 5) break
      const message = JSON.parse(new TextDecoder().decode(bytes.subarray(at + 5, at + 5 + length)))
      if (bytes[at] === 2) {
        if (message.error) {
          answered(message.error.code, sent)
          throw new Refused(message.error.code, message.error.message)
        }
        return
      }
      yield message as T
      at += 5 + length
    }
    rest = bytes.slice(at)
  }
}

function envelope(text: string): Uint8Array<ArrayBuffer> {
  const message = new TextEncoder().encode(text)
  const bytes = new Uint8Array(message.length + 5)
  new DataView(bytes.buffer).setUint32(1, message.length)
  bytes.set(message, 5)
  return bytes
}
