import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'

import type { Item } from '../src/model/item'
import { body, type Message } from '../src/model/message'
import { rows, foldTitle } from '../src/model/rows'
import { Timeline } from '../src/model/timeline'

interface Case {
  name: string
  items: Item[]
  want: { messages: object[]; tools: object[]; progress: object | null }
}

// The cases are those of feed/fold, which all clients share.
const cases: Case[] = JSON.parse(readFileSync('../../feed/fold/testdata/cases.json', 'utf8'))

// shown is what the shared cases compare. Beyond it the page keeps the reasoning that it has seen of a message, and superseded attempts.
function shown(t: Timeline) {
  const messages = t.entries.flatMap((e) => (e.kind === 'message' ? [short(e.message)] : []))
  const tools = t.entries.flatMap((e) => (e.kind === 'tool' ? [{ callId: e.tool.callId, state: e.tool.state, input: e.tool.input ?? null, output: e.tool.output ?? null, error: e.tool.error }] : []))
  const p = t.progress
  return { messages, tools, progress: p ? { progress: p.percent, status: p.status, result: p.result, final: p.final } : null }
}

function short({ id, version, role, status, complete, attempt, parts }: Message) {
  return { id, version, role, status, complete, attempt, parts: complete ? [{ number: 0, kind: 'text', text: body(parts) }] : parts }
}

function wanted({ messages, tools, progress }: Case['want']) {
  return { messages, tools: tools.map(({ callId, state, input, output, error }: any) => ({ callId, state, input: input ?? null, output: output ?? null, error })), progress }
}

const folded = (...portions: Item[][]) => {
  const t = new Timeline()
  for (const item of portions.flat()) t.add(structuredClone(item))
  return shown(t)
}

for (const c of cases) {
  test(`shared case: ${c.name}`, () => {
    assert.deepEqual(folded(c.items), wanted(c.want))
    for (let i = 0; i <= c.items.length; i++) {
      assert.deepEqual(folded(c.items.slice(0, i), c.items), wanted(c.want), `the first ${i} items come twice`)
      assert.deepEqual(folded(c.items, c.items.slice(i)), wanted(c.want), `those from ${i} on come twice`)
    }
  })
}

const item = (type: string, createdAt: number, fields: object): Item => ({ type, createdAt, item: { id: `${type}_${createdAt}`, workflowId: 'wf', ...fields } })

test('older items that come later are in their place', () => {
  const all = Array.from({ length: 20 }, (_, i) => item(i % 3 ? 'log' : 'message', i + 1, { message: `${i}`, level: 'info', role: 'user' }))
  const t = new Timeline()
  for (const i of [...all.slice(10), ...all.slice(0, 10)]) t.add(i)
  assert.deepEqual(t.entries.map((e) => e.place), all.map((i) => i.createdAt))
})

test('what a superseded attempt has written is kept for those who ask', () => {
  const t = new Timeline()
  t.add(item('delta', 1, { messageId: 'a', attempt: 1, part: 0, kind: 'text', at: 0, delta: 'old' }))
  t.add(item('delta', 2, { messageId: 'a', attempt: 2, part: 0, kind: 'text', at: 0, delta: 'new' }))
  t.add({ ...item('message', 3, { message: 'new text', role: 'assistant' }), item: { id: 'a', workflowId: 'wf', message: 'new text', role: 'assistant' } })
  const message = (t.entries[0] as { message: Message }).message
  assert.equal(body(message.parts), 'new text')
  assert.equal(body(message.replaced[0]!.parts), 'old')
})

test('more than three consecutive lines fold, and stay open while more come', () => {
  const t = new Timeline()
  t.add(item('message', 1, { message: 'hi', role: 'user' }))
  for (let i = 2; i < 5; i++) t.add(item('log', i, { message: 'line', level: 'info' }))
  assert.deepEqual(rows(t.entries, new Set()).map((r) => r.kind), ['message', 'line', 'line', 'line'])
  t.add(item('log', 5, { message: 'line', level: 'error' }))
  const [, fold] = rows(t.entries, new Set())
  assert.ok(fold?.kind === 'fold')
  assert.equal(foldTitle(fold.items), '4 log lines: 1 error')
  t.add(item('log', 6, { message: 'line', level: 'info' }))
  assert.deepEqual(rows(t.entries, new Set([fold.key])).map((r) => r.kind), ['message', 'fold', 'line', 'line', 'line', 'line', 'line'])
})

test('an item that is erased is shown no longer, and one that was written since stays', () => {
  const t = new Timeline()
  t.add(item('log', 1, { message: 'a', level: 'info' }))
  t.add(item('message', 2, { message: 'b', role: 'user' }))
  t.remove({ workflowId: 'wf', type: 'log', id: 'log_1', _createdAt: 1 })
  t.remove({ workflowId: 'wf', type: 'message', id: 'message_2', _createdAt: 1 })
  assert.deepEqual(t.entries.map((e) => e.key), ['message:message_2'])
})
