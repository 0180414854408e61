import type { Item } from './item'
import type { Entry } from './timeline'

// A row of the conversation: an entry, or the head of consecutive lines.
export type Row = Entry | Fold

export interface Fold {
  kind: 'fold'
  key: string
  items: Item[]
  open: boolean
}

// The most consecutive lines that are shown as they are.
const most = 3

// rows folds consecutive lines unless the reader has opened them. The key of a fold is that of its first line, so that it stays open
// while lines are added.
export function rows(entries: Entry[], opened: ReadonlySet<string>): Row[] {
  const all: Row[] = []
  for (let i = 0; i < entries.length; ) {
    let end = i
    while (end < entries.length && entries[end]!.kind === 'line') end++
    if (end - i <= most) {
      end = Math.max(end, i + 1)
      while (i < end) all.push(entries[i++]!)
      continue
    }
    const lines = entries.slice(i, end) as Extract<Entry, { kind: 'line' }>[]
    const key = `fold:${lines[0]!.key}`
    const open = opened.has(key)
    all.push({ kind: 'fold', key, items: lines.map((l) => l.item), open })
    if (open) for (const line of lines) all.push(line)
    i = end
  }
  return all
}

// foldTitle says what is folded: "7 log lines", "7 lines: 1 error".
export function foldTitle(items: Item[]): string {
  const logs = items.every((i) => i.type === 'log')
  const errors = items.filter((i) => i.item.level === 'error').length
  const warnings = items.filter((i) => i.item.level === 'warn' || i.item.level === 'warning').length
  const counts = [plural(errors, 'error'), plural(warnings, 'warning')].filter(Boolean).join(', ')
  return `${items.length.toLocaleString('en')} ${logs ? 'log lines' : 'lines'}${counts && `: ${counts}`}`
}

const plural = (count: number, word: string) => (count === 0 ? '' : `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`)
