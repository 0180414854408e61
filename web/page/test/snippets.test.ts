import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'

import { ago, bytes, exact } from '../src/model/format'
import { psql, snippets } from '../src/model/snippets'

test('ids with quotes and dollars reach the program as they are', () => {
  for (const id of ['wf_1', "o'brien", '$HOME', '`x`', 'a"b', 'ü/ß\\', '$(touch x)!']) {
    const said = execFileSync('bash', ['-c', psql(id).replace(/^psql .*? -c/, 'printf %s')], { encoding: 'utf8' })
    assert.equal(said, `insert into chatfeed.messages (workflow_id, role, message) values ('${id.replaceAll("'", "''")}', 'psql', 'by hand')`)
    const [curl] = snippets(id, 'http://127.0.0.1:8080', 1795311746.201564)
    const url = execFileSync('bash', ['-c', curl!.code.replace('curl -N', 'printf %s')], { encoding: 'utf8' })
    assert.equal(decodeURIComponent(new URL(url).pathname.split('/')[2]!), id)
  }
})

test('times and sizes have units', () => {
  assert.equal(ago(100, 100.4), 'now')
  assert.equal(ago(100, 165), '1 m')
  assert.equal(exact(1795311746.201564), '2026-11-22 01:42:26.201564 UTC')
  assert.equal(bytes(1 << 20), '1.0 MiB')
})
