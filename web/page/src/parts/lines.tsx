import { clock, count, duration, exact } from '../model/format'
import { type Item, number, text } from '../model/item'
import { type Fold, foldTitle } from '../model/rows'
import type { Session } from '../session'
import { viewing } from '../store'

// Line draws a log, a stat, a progress, or an item of a type that this page does not know: one quiet line.
export function Line({ item }: { item: Item }) {
  const key = `${item.type}:${item.item.id}`
  const [tone, word, what] = describe(item)
  return (
    <div class={`line ${tone}`} data-item={key}>
      <button class="time" title={`${exact(item.createdAt)}. Open as JSON`} onClick={() => (viewing.value = key)}>
        {clock(item.createdAt)}
      </button>
      <span class="word">{word}</span>
      <span class="what" dir="auto">{what.length > 400 ? `${what.slice(0, 400)}…` : what}</span>
    </div>
  )
}

function describe({ type, item }: Item): [tone: string, word: string, what: string] {
  switch (type) {
    case 'log': {
      const level = text(item.level) || 'info'
      const tone = level === 'error' ? 'bad' : level.startsWith('warn') ? 'warn' : ''
      return [tone, level, text(item.message)]
    }
    case 'stat':
      return ['', 'stat', cost(number(item.processingTime), number(item.tokenCount))]
    case 'progress': {
      const result = text(item.result)
      return [item.final ? 'strong' : '', item.final ? 'final' : 'progress', `${Math.round(number(item.progress))} % ${text(item.status)}${result && `: ${result}`}`]
    }
    default:
      return ['', type, JSON.stringify(item)]
  }
}

// cost leaves out what is not known.
function cost(took: number, tokens: number): string {
  const parts = [took ? duration(took) : '', tokens || !took ? `${count(tokens)} tokens` : '']
  return parts.filter(Boolean).join(', ')
}

// FoldRow stands for consecutive lines.
export function FoldRow({ fold, session }: { fold: Fold; session: Session }) {
  const last = fold.items[fold.items.length - 1]!
  return (
    <button class="opener fold" aria-expanded={fold.open} onClick={() => session.toggle(fold.key)}>
      <span class="mono">{clock(last.createdAt)}</span>
      <span class="turn" aria-hidden="true">▸</span>
      {foldTitle(fold.items)}
    </button>
  )
}
