import assert from 'node:assert/strict'
import test from 'node:test'

import { plain } from '../src/model/plain'

test('what is read aloud has no marks', () => {
  const answer = '**Summary** (1 of 3 sentences)\n\n> The *quick* brown fox.\n\n## Statistics\n\n- 15 words, `11` distinct\n- [more](https://example.com)\n\n---\n\n| a | b |\n|---|---|\n| 1 | ~~2~~ |\n\n```go\nx := 1\n```\nend'
  assert.equal(plain(answer), 'Summary (1 of 3 sentences) The quick brown fox. Statistics 15 words, 11 distinct, more a, b; 1, 2 x := 1 end')
  assert.equal(plain('a_b 2 * 3'), 'a_b 2 * 3')
  assert.equal(plain(''), '')
})
