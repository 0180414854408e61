import { type Block, blocks, type Inline, inlines } from './markdown'

// plain is a text in Markdown as it is read aloud: without the marks.
export const plain = (source: string): string => blocks(source).map(spoken).filter(Boolean).join(' ')

function spoken(block: Block): string {
  switch (block.kind) {
    case 'rule':
      return ''
    case 'code':
      return block.text
    case 'quote':
      return plain(block.text)
    case 'list':
      return block.items.map(plain).join(', ')
    case 'table':
      return [block.head, ...block.rows].map((row) => row.map(words).join(', ')).join('; ')
    default:
      return words(block.text)
  }
}

const words = (text: string) => said(inlines(text)).replace(/\s+/g, ' ')

const said = (all: Inline[]): string => all.map((i) => ('text' in i ? i.text : said(i.children))).join('')
