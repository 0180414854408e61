import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'

import { ago, bytes, cursorTime, exact } from '../src/model/format'
import { psql, sending, snippets } from '../src/model/snippets'

test('ids with quotes and dollars reach the program as they are', () => {
  for (const id of ['wf_1', "o'brien", '$HOME', '`x`', 'a"b', 'ü/ß\\', '$(touch x)!']) {
    const given = (command: string) => execFileSync('bash', ['-c', command], { encoding: 'utf8', env: { ...process.env, DATABASE_URL: 'u r l' } }).split('\n')
    const insert = `insert into chatfeed.messages (workflow_id, role, message) values ('${id.replaceAll("'", "''")}', 'psql', 'by hand')`
    assert.deepEqual(given(psql(id).replace(/^psql/, "printf '%s\\n'")), ['u r l', '-c', insert, ''])
    assert.deepEqual(given(psql(id, "postgres://it's@h/d?a=$b").replace(/^psql/, "printf '%s\\n'")), ["postgres://it's@h/d?a=$b", '-c', insert, ''])
    assert.equal(given(sending(id, 'http://127.0.0.1:1234').replace(/^go run \S+ send/, "printf '%s\\n'"))[0], id)
    const [curl] = snippets(id, 'http://127.0.0.1:8080', 1795311746.201564, false)
    const url = execFileSync('bash', ['-c', curl!.code.replace('curl -N', 'printf %s')], { encoding: 'utf8' })
    assert.equal(decodeURIComponent(new URL(url).pathname.split('/')[2]!), id)
  }
})

test('times and sizes have units', () => {
  assert.equal(ago(100, 100.4), 'now')
  assert.equal(ago(100, 165), '1 m')
  assert.equal(exact(1795311746.201564), '2026-11-22 01:42:26.201564 UTC')
  assert.equal(bytes(1 << 20), '1.0 MiB')
  assert.equal(cursorTime(1795311746.201564), '2026-11-22T01:42:26.201564Z')
})
