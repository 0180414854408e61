import type { Item } from '../src/model/item'

// Items for the scripted states, a little apart in time.
export class Script {
  items: Item[] = []

  constructor(
    readonly workflow: string,
    public at: number,
  ) {}

  add(type: string, fields: object, id = `${type}_${this.items.length}`, after = 0.05): this {
    this.at = Math.round((this.at + after) * 1e6) / 1e6
    this.items.push({ type, createdAt: this.at, item: { id, workflowId: this.workflow, ...fields, _createdAt: this.at } })
    return this
  }

  message(role: string, message: string, id?: string, status = '') {
    return this.add('message', { role, message, status }, id, 0.4)
  }
  log(message: string, level = 'info') {
    return this.add('log', { level, message })
  }
  progress(progress: number, status: string, result = '', final = false) {
    return this.add('progress', { progress, status, result, final })
  }
  stat(processingTime: number, tokenCount: number) {
    return this.add('stat', { processingTime, tokenCount })
  }
  tool(callId: string, name: string, state: string, fields: object = {}) {
    return this.add('tool', { callId, messageId: '', name, state, input: null, output: null, error: '', ...fields }, `${callId}:${state}`, 0.004)
  }
  delta(messageId: string, kind: string, part: number, at: number, delta: string, attempt = 1) {
    return this.add('delta', { messageId, attempt, part, kind, at, delta }, `${messageId}:${attempt}:${part}:${at}`)
  }
}

export const answer = `**Summary** (1 of 3 sentences)

> The quick brown fox jumps over the lazy dog.

**Statistics**

- 15 words, 11 distinct
- 3 sentences, 77 characters
- reading time: less than a minute
- most frequent words: \`quick\` (2), \`dog\` (2), \`brown\` (1)`

export const table = `## What changed between the runs

| run | rows | p50 | p99 |
|---|---|---|---|
| 1 | 2,000 | 3.1 ms | 9.8 ms |
| 2 | 2,000 | 2.9 ms | 8.4 ms |

1. The second run read *ahead* of what was asked for.
2. Nothing else differed; see [the report](https://example.com/report).

\`\`\`go
for stream.Receive() {
	fmt.Println(stream.Msg())
}
\`\`\``

// turn is one exchange as the demo workflow records it.
export function turn(s: Script, question: string, reply = answer, n = s.items.length): Script {
  return s
    .message('user', question, `msg_u${n}`)
    .progress(0, 'reading')
    .log(`Reading a message of ${question.length} bytes.`)
    .progress(20, 'answering')
    .tool(`call_${n}`, 'word_statistics', 'input-available', { input: { characters: question.length } })
    .tool(`call_${n}`, 'word_statistics', 'output-available', { output: { sentences: 3, words: 15, distinct: 11 } })
    .log('Summarized 3 sentences in 1.')
    .stat(0.004, 18)
    .message('assistant', reply, `msg_a${n}`, 'complete')
    .progress(100, 'done', 'Summarized 3 sentences in 1.')
}
