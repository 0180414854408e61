// A subset of Markdown as data: what models write in chats. What it does not know stays text, and there is no HTML in it, so nothing
// needs to be sanitized.

export type Block =
  | { kind: 'heading'; level: number; text: string }
  | { kind: 'paragraph'; text: string }
  | { kind: 'code'; language: string; text: string }
  | { kind: 'quote'; text: string }
  | { kind: 'list'; ordered: boolean; start: number; items: string[] }
  | { kind: 'table'; head: string[]; rows: string[][] }
  | { kind: 'rule' }

export type Inline =
  | { kind: 'text' | 'code'; text: string }
  | { kind: 'strong' | 'em' | 'strike'; children: Inline[] }
  | { kind: 'link'; href: string; children: Inline[] }

const fence = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/
const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/
const rule = /^ {0,3}([-*_])(\s*\1){2,}\s*$/
const bullet = /^( {0,3})([-*+]|(\d{1,9})[.)])\s+(.*)$/
const quote = /^ {0,3}> ?/
const divider = /^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/

export function blocks(source: string): Block[] {
  const lines = source.replace(/\r\n?/g, '\n').split('\n')
  const all: Block[] = []
  let i = 0
  while (i < lines.length) {
    const line = lines[i]!
    let m: RegExpMatchArray | null
    if (!line.trim()) i++
    else if ((m = line.match(fence))) {
      const close = new RegExp(`^ {0,3}${m[1]![0]}{${m[1]!.length},}\\s*$`)
      const begin = ++i
      while (i < lines.length && !close.test(lines[i]!)) i++
      all.push({ kind: 'code', language: m[2]!, text: lines.slice(begin, i++).join('\n') })
    } else if ((m = line.match(heading))) {
      all.push({ kind: 'heading', level: m[1]!.length, text: m[2]! })
      i++
    } else if (rule.test(line)) {
      all.push({ kind: 'rule' })
      i++
    } else if (quote.test(line)) {
      const begin = i
      while (i < lines.length && quote.test(lines[i]!)) i++
      all.push({ kind: 'quote', text: lines.slice(begin, i).map((l) => l.replace(quote, '')).join('\n') })
    } else if ((m = line.match(bullet))) {
      i = list(lines, i, m, all)
    } else if (line.includes('|') && divider.test(lines[i + 1] ?? '')) {
      const head = cells(line)
      const rows: string[][] = []
      for (i += 2; i < lines.length && lines[i]!.includes('|'); i++) rows.push(cells(lines[i]!))
      all.push({ kind: 'table', head, rows })
    } else {
      const begin = i++
      while (i < lines.length && lines[i]!.trim() && !starts(lines[i]!)) i++
      all.push({ kind: 'paragraph', text: lines.slice(begin, i).map((l) => l.trimStart()).join('\n') })
    }
  }
  return all
}

const starts = (line: string) => fence.test(line) || heading.test(line) || quote.test(line) || bullet.test(line) || rule.test(line)

function list(lines: string[], i: number, first: RegExpMatchArray, all: Block[]): number {
  const ordered = first[3] !== undefined
  const items: string[] = []
  while (i < lines.length) {
    const m = lines[i]!.match(bullet)
    if (!m || (m[3] !== undefined) !== ordered || rule.test(lines[i]!)) break
    const item = [m[4]!]
    const indent = m[1]!.length + m[2]!.length + 1
    for (i++; i < lines.length; i++) {
      const line = lines[i]!
      if (line.trim() && line.search(/\S/) >= Math.min(indent, 2)) item.push(line.slice(Math.min(line.search(/\S/), indent)))
      else if (!line.trim() && /^\s{2,}\S/.test(lines[i + 1] ?? '')) item.push('')
      else break
    }
    items.push(item.join('\n'))
    if (i + 1 < lines.length && !lines[i]!.trim() && bullet.test(lines[i + 1]!)) i++
  }
  all.push({ kind: 'list', ordered, start: Number(first[3] ?? 1), items })
  return i
}

const cells = (line: string) =>
  line
    .trim()
    .replace(/^\||\|$/g, '')
    .split('|')
    .map((c) => c.trim())

const span =
  /(`+)([\s\S]*?[^`])\1(?!`)|\*\*(?=\S)([\s\S]*?\S)\*\*|~~(?=\S)([\s\S]*?\S)~~|(?<![\w*])\*(?=[^\s*])([^*]*?[^\s*])\*(?!\*)|(?<!\w)_(?=\S)([^_]*?\S)_(?!\w)|\[([^\]]*)\]\(\s*<?([^\s)>]*)>?(?:\s+"[^"]*")?\s*\)|(https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]])|\\([!-/:-@[-`{-~])/

export function inlines(source: string, depth = 0): Inline[] {
  const all: Inline[] = []
  const plain = (text: string) => {
    if (text) all.push({ kind: 'text', text })
  }
  let rest = source
  while (rest) {
    const m = depth < 8 ? rest.match(span) : null
    if (!m) break
    plain(rest.slice(0, m.index))
    rest = rest.slice(m.index! + m[0].length)
    const [whole, , code, strong, strike, star, under, label, href, url, escaped] = m
    if (code !== undefined) all.push({ kind: 'code', text: code.trim() })
    else if (strong !== undefined) all.push({ kind: 'strong', children: inlines(strong, depth + 1) })
    else if (strike !== undefined) all.push({ kind: 'strike', children: inlines(strike, depth + 1) })
    else if (star !== undefined || under !== undefined) all.push({ kind: 'em', children: inlines((star ?? under)!, depth + 1) })
    else if (escaped !== undefined) plain(escaped)
    else if (url !== undefined) all.push({ kind: 'link', href: url, children: [{ kind: 'text', text: url }] })
    else if (safe(href!)) all.push({ kind: 'link', href: href!, children: inlines(label!, depth + 1) })
    else plain(whole)
  }
  plain(rest)
  return all
}

// safe reports whether a link may be followed: other schemes run programs.
export const safe = (href: string) => /^(https?:\/\/|mailto:)/i.test(href)
