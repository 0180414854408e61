import { denied, token } from '../src/auth'
import type { Item } from '../src/model/item'
import { Session, type State } from '../src/session'
import { listState, type Listed, search, server, session, viewing, workflows, help, pane } from '../src/store'
import { answer, Script, table, turn } from './items'

const question = 'The quick brown fox jumps over the lazy dog. The dog sleeps. Foxes are quick.'

// The time at which all states are: the pictures are then the same whenever they are made.
export const at = 1795311746.2

// states are what the page can look like, each made of nothing.
export const states: Record<string, () => void> = {
  empty: () => list([]),
  building: () => {
    list([])
    server.value = {
      chat: false, starting: true, building: 37, temporalUI: '', database: '',
      reason: 'Temporal is still being built: package 412 of at most 1113',
    }
  },
  starting: () => {
    list([])
    server.value = { chat: false, starting: true, building: undefined, temporalUI: '', database: '', reason: 'Temporal is starting' }
  },
  'first-items': () => show(new Script('wf_1', at - 3).message('user', question).progress(0, 'reading').log('Reading a message of 77 bytes.')),
  'nothing-yet': () => show(new Script('wf_1', at)),
  growing: () => {
    const s = turn(new Script('wf_1', at - 20), 'Hello') .message('user', question, 'msg_q').progress(20, 'answering').log('Reading a message of 77 bytes.')
    s.delta('msg_g', 'text', 0, 0, 'Here is a first attempt at the summ', 1)
    s.delta('msg_g', 'reasoning', 0, 0, 'Looking for the sentences that say most about “quick”, “dog”, “brown”.', 2)
    show(s.delta('msg_g', 'text', 1, 0, answer.slice(0, 140), 2).progress(42, 'answering'))
  },
  busy: () => {
    const s = turn(new Script('wf_1', at - 40), question)
    for (let i = 0; i < 5000; i++) s.add('log', { level: i % 997 === 0 ? 'error' : 'info', message: `Read row ${i} of the export.` }, undefined, 0.002)
    show(s.message('assistant', 'Five thousand rows are read.', 'msg_b', 'complete').log('One'). log('Two').progress(64, 'reading'))
    session.value!.meter.perSecond = 512
  },
  'up-to-date': () => show(turn(turn(new Script('wf_1', at - 60), question), 'And what changed?', table)),
  approval: () =>
    show(
      new Script('wf_1', at - 9)
        .message('user', 'Analyze this text of 24 KiB …').progress(10, 'waiting for approval')
        .tool('call_a', 'analyze_text', 'input-available', { input: { bytes: 24576, language: 'en' } })
        .tool('call_a', 'analyze_text', 'approval-requested'),
    ),
  tools: () => {
    show(
      turn(new Script('wf_1', at - 9), question)
        .tool('c2', 'search_web', 'input-available', { input: { query: 'temporal workflow streaming', limit: 5 } })
        .tool('c2', 'search_web', 'output-error', { error: 'The search took longer than 10 s and was given up.' })
        .tool('c3', 'delete_rows', 'input-available', { input: { table: 'orders' } })
        .tool('c3', 'delete_rows', 'output-denied')
        .tool('c4', 'read_file', 'input-available', { input: { path: '/etc/hosts' } }),
    )
    session.value!.toggle('tool:call_0')
  },
  'approval-below': () => {
    const s = new Script('wf_1', at - 90)
    for (let i = 0; i < 8; i++) turn(s, `${i}: ${question}`)
    show(s.tool('call_a', 'analyze_text', 'input-available', { input: { bytes: 24576, language: 'en' } }).tool('call_a', 'analyze_text', 'approval-requested'))
    requestAnimationFrame(() => (document.querySelector('main [role=log]')!.scrollTop = 100))
  },
  refused: () => {
    states['up-to-date']!()
    session.value!.sending.value = [
      { id: 'a', text: 'Is anybody there?', problem: { text: 'the workflow has too many messages to handle; try again in 2 seconds', passes: false } },
      { id: 'b', text: 'And now?' },
    ]
  },
  reconnecting: () => show(turn(new Script('wf_1', at - 60), question), { kind: 'waiting', reason: 'the server cannot be reached', retryAt: Date.now() + 7000 }),
  'database-away': () => show(turn(new Script('wf_1', at - 60), question), { kind: 'live', upToDate: false }),
  'sign-in': () => {
    list([])
    listState.value = { kind: 'refused', reason: 'the request has no valid token; retry with a new one' }
    denied.value = 'none'
  },
  'sign-in-refused': () => {
    states['sign-in']!()
    denied.value = 'refused'
  },
  'sign-in-again': () => {
    show(turn(new Script('wf_1', at - 60), question), { kind: 'failed', code: 'unauthenticated', reason: 'your access has expired' })
    token.value = 'abc'
    denied.value = 'refused'
  },
  'signed-in': () => {
    states['up-to-date']!()
    token.value = 'abc'
  },
  forbidden: () => {
    list([])
    listState.value = { kind: 'refused', reason: 'the viewer may not list workflows.' }
  },
  'forbidden-workflow': () => show(new Script('wf_secret', at), { kind: 'failed', code: 'permission_denied', reason: 'this token does not cover the workflow' }),
  erased: () => {
    show(new Script('wf_1', at))
    session.value!.erased.value = true
  },
  final: () => show(turn(new Script('wf_1', at - 60), question).progress(100, 'completed', '', true), { kind: 'ended' }),
  failed: () =>
    show(
      new Script('job-7', at - 60).message('user', 'Import the file.').progress(10, 'importing').log('Opened orders.csv.')
        .log('Row 17 has 4 columns instead of 5.', 'warn').log('The file cannot be imported.', 'error')
        .message('assistant', 'The import has failed at row 17. Nothing was changed.', undefined, 'failed').progress(10, 'failed', 'row 17', true),
      { kind: 'ended' },
    ),
  'ten-thousand': () => {
    const s = new Script('wf_1', at - 9000)
    for (let i = 0; i < 1000; i++) turn(s, `${i}: ${question}`)
    show(s)
  },
  large: () => show(new Script('wf_1', at - 5).message('user', 'Write me a megabyte.').message('assistant', 'All work and no play makes a dull workflow. '.repeat(24000), 'msg_large', 'complete')),
  viewer: () => {
    states.large!()
    viewing.value = 'message:msg_large'
  },
  json: () => {
    states['up-to-date']!()
    viewing.value = 'message:msg_a0'
  },
  help: () => {
    states['up-to-date']!()
    help.value = true
  },
  languages: () =>
    show(
      new Script('wf_مرحبا', at - 5)
        .message('user', 'لخّص هذا النص من فضلك: الثعلب البني السريع يقفز فوق الكلب الكسول.')
        .message('assistant', '**ملخص**\n\n- الثعلب سريع\n- الكلب كسول', undefined, 'complete')
        .message('user', '请总结这段文字：敏捷的棕色狐狸跳过了懒狗。')
        .message('assistant', '**摘要**\n\n> 敏捷的棕色狐狸跳过了懒狗。\n\n- 十五个词\n- 日本語のテキストも同じように表示されます。', undefined, 'complete')
        .log('読み込み中：七十七バイト。'),
    ),
  'long-id': () => show(turn(new Script(`customer-${'0123456789abcdef'.repeat(8)}/conversation`, at - 60), `See ${'x'.repeat(300)} and ${question}`)),
  list: () => {
    states['up-to-date']!()
    pane.value = 'list'
  },
  wire: () => {
    states['up-to-date']!()
    pane.value = 'wire'
  },
  search: () => {
    states['up-to-date']!()
    search.value = 'nothing like this'
    pane.value = 'list'
  },
}

const others: Listed[] = [
  { id: 'wf_0', head: at - 130, status: 'done', percent: 100, final: false },
  { id: 'order-1041/refund', head: at - 22, status: 'waiting for approval', percent: 10, final: false },
  { id: 'job-7', head: at - 3700, status: 'failed', percent: 10, final: true },
  { id: 'nightly-export-2026-11-25', head: at - 90000, status: 'completed', percent: 100, final: true },
]

function list(all: Listed[]) {
  workflows.value = all.sort((a, b) => b.head - a.head)
  listState.value = { kind: 'live' }
}

function show(s: Script, state: State = { kind: 'live', upToDate: true }) {
  const current = new Session(s.workflow)
  session.value = current
  const { progress } = feed(current, s.items)
  current.state.value = state
  current.way.value = 'connect'
  current.cursor.value = s.items.length > 0 ? s.at : 0
  for (let i = 0; i < 48; i++) current.meter.lags.push(0.002 + 0.003 * Math.abs(Math.sin(i * 1.7)) + (i % 13 === 0 ? 0.006 : 0))
  current.meter.lags.push(0.0031)
  current.meter.total = s.items.length
  current.meter.perSecond = 12
  const many: Listed[] = s.items.length > 9000 ? Array.from({ length: 5000 }, (_, i) => ({ id: `chat-${i}`, head: at - 40 - i * 7, status: 'done', percent: 100, final: i % 3 === 0 })) : []
  list([
    { id: s.workflow, head: s.at, status: progress?.status ?? '', percent: progress?.percent, final: progress?.final ?? false },
    ...others.filter((o) => o.id !== s.workflow), ...many,
  ])
}

function feed(current: Session, items: Item[]) {
  current.apply({ items, gone: [], anew: [], upToDate: true, final: false })
  return current.timeline
}
