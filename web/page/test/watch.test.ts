import assert from 'node:assert/strict'
import test from 'node:test'

import { token, use } from '../src/auth'
import { listState, workflows } from '../src/store'
import { Watch } from '../src/watch'

// frames makes the answer of a stream.
function frames(...messages: object[]): Response {
  const bytes = messages.flatMap((message) => {
    const text = new TextEncoder().encode(JSON.stringify(message))
    return [0, 0, 0, text.length >> 8, text.length & 255, ...text]
  })
  return new Response(new ReadableStream({ start: (c) => c.enqueue(new Uint8Array(bytes)) })) // it does not end
}

const list = { anew: true, upToDate: true, workflows: [{ id: 'wf', head: '2026-01-31T12:00:00.5Z' }] }
const until = async (done: () => boolean) => {
  for (let i = 0; i < 100_000 && !done(); i++) await new Promise(setImmediate)
  assert.ok(done())
}

test('the list is tried again at once when it is told to, with the token of that time', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] }) // no pause ends by itself
  const sent: (string | null)[] = []
  let answers: (() => Response)[] = []
  globalThis.document = { hidden: false, addEventListener() {} } as unknown as Document
  t.mock.method(globalThis, 'fetch', async (_: string, init: RequestInit) => {
    sent.push(new Headers(init.headers).get('Authorization'))
    const answer = answers.shift()
    if (!answer) throw new TypeError('there is no server')
    return answer()
  })
  const watch = new Watch()
  watch.start()
  await until(() => listState.value.kind === 'away')
  watch.retry()
  await until(() => sent.length === 2)
  assert.equal(listState.value.kind, 'away')

  answers = [() => Response.json({ code: 'unauthenticated', message: 'no token' }, { status: 401 })]
  watch.retry()
  await until(() => listState.value.kind === 'refused')
  assert.equal(use('two words'), 'A token has no spaces and no letters beyond ASCII.')
  assert.equal(use(' Bearer abc.def '), '')
  assert.equal(token.value, 'abc.def')
  answers = [() => frames(list)]
  watch.restart()
  await until(() => listState.value.kind === 'live')
  assert.deepEqual(workflows.value.map((w) => [w.id, w.head]), [['wf', 1769860800.5]])
  assert.deepEqual(sent, [null, null, null, 'Bearer abc.def'])
})
