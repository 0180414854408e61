import assert from 'node:assert/strict'
import test from 'node:test'

import { blocks, inlines, safe } from '../src/model/markdown'

test('blocks are what models write', () => {
  const source = '# Title\n\ntext\nmore\n\n- a\n- b\n  c\n\n1. x\n2. y\n\n> said\n> twice\n\n```go\nx := 1\n\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\nend'
  assert.deepEqual(blocks(source), [
    { kind: 'heading', level: 1, text: 'Title' },
    { kind: 'paragraph', text: 'text\nmore' },
    { kind: 'list', ordered: false, start: 1, items: ['a', 'b\nc'] },
    { kind: 'list', ordered: true, start: 1, items: ['x', 'y'] },
    { kind: 'quote', text: 'said\ntwice' },
    { kind: 'code', language: 'go', text: 'x := 1\n' },
    { kind: 'table', head: ['a', 'b'], rows: [['1', '2']] },
    { kind: 'rule' },
    { kind: 'paragraph', text: 'end' },
  ])
})

test('a text that is cut anywhere is parsed, and loses nothing', () => {
  const source = 'a **b `c` d** [e](https://f) ~~g~~ *h* _i_ https://j.k/l.\n\n```\nm\n```\n- n'
  for (let i = 0; i <= source.length; i++) for (const b of blocks(source.slice(0, i))) if ('text' in b) inlines(b.text)
})

test('links lead to web pages and mail only', () => {
  for (const href of ['javascript:alert(1)', 'JAVASCRIPT:x', 'data:text/html,x', 'vbscript:x', '//evil', '/path', ' javascript:x']) {
    assert.ok(!safe(href), href)
    assert.ok(!inlines(`[x](${href})`).some((i) => i.kind === 'link'), href)
  }
  assert.deepEqual(inlines('[x](https://a.b)'), [{ kind: 'link', href: 'https://a.b', children: [{ kind: 'text', text: 'x' }] }])
  assert.deepEqual(inlines('<img src=x onerror=y>'), [{ kind: 'text', text: '<img src=x onerror=y>' }])
})

test('names with underscores and lone stars are text', () => {
  assert.deepEqual(inlines('a_b_c 2 * 3 * 4'), [{ kind: 'text', text: 'a_b_c 2 * 3 * 4' }])
})
