import { type Gone, type Item, number, text } from './item'
import { Draft, type Message } from './message'

// A call of a tool in its latest state, with the items of all its states.
export interface Tool {
  callId: string
  name: string
  state: string
  input: unknown
  output: unknown
  error: string
  began: number
  at: number
  items: Item[]
}

export interface Progress {
  percent: number
  status: string
  result: string
  final: boolean
  at: number
  id: string
}

export type Entry =
  | { kind: 'message'; key: string; place: number; message: Message }
  | { kind: 'tool'; key: string; place: number; tool: Tool }
  | { kind: 'line'; key: string; place: number; item: Item }

// Timeline is what people are shown of a workflow, in the order of its items: the rules are those of feed/fold, besides which it
// keeps what is only read on demand: lines, and what superseded attempts have written. Items may be added in any portions and again.
export class Timeline {
  entries: Entry[] = []
  progress: Progress | undefined
  count = 0 // items that were taken

  private messages = new Map<string, Message>() // by the id of the first version
  private versions = new Map<string, string>() // the id of the first version, by that of every version
  private drafts = new Map<string, Draft>()
  private tools = new Map<string, Tool>()
  private lines = new Set<string>()

  add(item: Item) {
    this.count++
    switch (item.type) {
      case 'message':
        return this.message(item)
      case 'delta':
        return this.delta(item)
      case 'tool':
        return this.tool(item)
      case 'progress':
        if (!this.progress || this.progress.at < item.createdAt) this.progress = progress(item)
    }
    this.line(item)
  }

  remove(gone: Gone) {
    if (gone.type === 'delta') {
      const id = gone.id.split(':').slice(0, -3).join(':')
      const message = this.find(id)
      if (message && !message.complete) {
        this.messages.delete(id)
        this.drafts.delete(id)
        this.cut(`message:${id}`)
      }
    } else if (gone.type === 'message') {
      const message = this.find(gone.id)
      if (message && message.version === gone.id && message.at <= gone._createdAt) this.cut(`message:${message.id}`)
    } else if (gone.type === 'tool') {
      for (const tool of this.tools.values()) {
        const latest = tool.items[tool.items.length - 1]!
        if (latest.item.id === gone.id && latest.createdAt <= gone._createdAt) {
          this.tools.delete(tool.callId)
          this.cut(`tool:${tool.callId}`)
        }
      }
    } else {
      if (this.progress?.id === gone.id && gone.type === 'progress') this.progress = undefined
      this.lines.delete(`${gone.type}:${gone.id}`)
      this.cut(`${gone.type}:${gone.id}`)
    }
  }

  private find(id: string): Message | undefined {
    return this.messages.get(this.versions.get(id) ?? id)
  }

  clear() {
    Object.assign(this, new Timeline())
  }

  private message(item: Item) {
    const id = item.item.id
    const first = text(item.item.replaces) || id
    const draft = this.find(id)
    const known = this.find(first)
    const before = known ?? draft
    if (draft && draft !== known && !draft.complete) {
      // It was written as a message of its own; it takes the place of another, of which nothing may be known.
      this.messages.delete(draft.id)
      this.cut(`message:${draft.id}`)
    }
    if (before?.complete && item.createdAt <= before.at) {
      // An older version than the one that is shown: it tells only where the message is.
      this.set({ ...before, place: Math.min(before.place, item.createdAt), edited: before.edited || before.version !== id }, [id])
      return
    }
    this.drafts.delete(before?.id ?? id)
    const own = before === draft && !draft?.complete
    this.set(
      {
        id: own ? first : (before?.id ?? first),
        version: id,
        role: text(item.item.role),
        status: text(item.item.status),
        complete: true,
        attempt: 0,
        parts: keepReasoning(draft ?? before, text(item.item.message)),
        replaced: (draft ?? before)?.replaced ?? [],
        grown: (draft ?? before)?.grown ?? false,
        edited: Boolean(before?.complete) || Boolean(item.item.replaces),
        at: item.createdAt,
        place: before?.complete ? Math.min(before.place, item.createdAt) : item.createdAt,
        item,
      },
      [id, first],
    )
  }

  private delta(item: Item) {
    const id = text(item.item.messageId)
    const message: Message = this.find(id) ?? {
      id,
      version: id,
      role: 'assistant',
      status: '',
      complete: false,
      attempt: 0,
      parts: [],
      replaced: [],
      grown: true,
      edited: false,
      at: 0,
      place: item.createdAt,
      item,
    }
    if (message.complete) return
    let draft = this.drafts.get(id)
    if (!draft) this.drafts.set(id, (draft = new Draft()))
    const grown = draft.add(message, item)
    if (grown !== message) this.set(grown, [id])
  }

  private set(message: Message, ids: string[]) {
    for (const id of ids) this.versions.set(id, message.id)
    this.messages.set(message.id, message)
    const key = `message:${message.id}`
    if (message.status === 'deleted') this.cut(key)
    else this.put({ kind: 'message', key, place: message.place, message })
  }

  private tool(item: Item) {
    const callId = text(item.item.callId)
    const known = this.tools.get(callId)
    if (known?.items.some((i) => i.item.id === item.item.id && i.createdAt === item.createdAt)) return
    const items = [...(known?.items ?? []), item].sort((a, b) => a.createdAt - b.createdAt)
    const latest = items[items.length - 1]!.item
    const value = (name: string) => items.findLast((i) => i.item[name] !== undefined && i.item[name] !== null)?.item[name]
    const tool: Tool = {
      callId,
      name: text(latest.name),
      state: text(latest.state),
      input: value('input'),
      output: value('output'),
      error: text(latest.error),
      began: items[0]!.createdAt,
      at: items[items.length - 1]!.createdAt,
      items,
    }
    this.tools.set(callId, tool)
    this.put({ kind: 'tool', key: `tool:${callId}`, place: tool.began, tool })
  }

  private line(item: Item) {
    const key = `${item.type}:${item.item.id}`
    if (this.lines.has(key)) return
    this.lines.add(key)
    this.put({ kind: 'line', key, place: item.createdAt, item })
  }

  // put replaces the entry with the same key, or adds one where it belongs, which is nearly always the end.
  private put(entry: Entry) {
    if (entry.kind !== 'line') {
      const at = this.entries.findLastIndex((e) => e.key === entry.key)
      if (at >= 0) {
        if (this.entries[at]!.place === entry.place) {
          this.entries[at] = entry
          return
        }
        this.entries.splice(at, 1)
      }
    }
    let low = 0
    let high = this.entries.length
    if (high > 0 && this.entries[high - 1]!.place <= entry.place) low = high
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.entries[middle]!.place <= entry.place) low = middle + 1
      else high = middle
    }
    this.entries.splice(low, 0, entry)
  }

  private cut(key: string) {
    const at = this.entries.findLastIndex((e) => e.key === key)
    if (at >= 0) this.entries.splice(at, 1)
  }
}

// keepReasoning keeps what the page has seen of a message besides its text, which the row in the database does not have.
function keepReasoning(before: Message | undefined, message: string) {
  const seen = before && !before.complete ? before.parts.filter((p) => p.kind !== 'text' && p.kind !== 'tool-input') : []
  const last = seen.reduce((most, p) => Math.max(most, p.number), -1)
  return [...seen, { number: last + 1, kind: 'text', text: message }]
}

function progress(item: Item): Progress {
  const p = item.item
  return {
    percent: number(p.progress),
    status: text(p.status),
    result: text(p.result),
    final: p.final === true,
    at: item.createdAt,
    id: p.id,
  }
}
