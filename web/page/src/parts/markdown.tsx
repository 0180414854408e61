import { Component, type ComponentChildren } from 'preact'

import { type Block, blocks, type Inline, inlines } from '../model/markdown'

// Markdown draws a text. Of a text that grows, only the last blocks are drawn again.
export function Markdown({ text, caret = false }: { text: string; caret?: boolean }) {
  const all = blocks(text)
  return (
    <div class="markdown" dir="auto">
      {all.map((block, i) => (
        <Drawn key={i} block={block} caret={caret && i === all.length - 1} />
      ))}
      {caret && all.length === 0 && <Caret />}
    </div>
  )
}

export const Caret = () => <span class="caret" aria-hidden="true" />

interface Props {
  block: Block
  caret: boolean
}

class Drawn extends Component<Props> {
  override shouldComponentUpdate(next: Props) {
    return next.caret !== this.props.caret || JSON.stringify(next.block) !== JSON.stringify(this.props.block)
  }

  render({ block, caret }: Props) {
    const end = caret ? <Caret /> : null
    switch (block.kind) {
      case 'heading':
        return (
          <p class={`heading level-${Math.min(block.level, 3)}`} role="heading" aria-level={2}>
            {spans(block.text)}
            {end}
          </p>
        )
      case 'code':
        return (
          <pre class="code" tabIndex={0} aria-label={block.language ? `Code, ${block.language}` : 'Code'} dir="ltr">
            <code>{block.text}</code>
            {end}
          </pre>
        )
      case 'quote':
        return (
          <blockquote>
            <Markdown text={block.text} caret={caret} />
          </blockquote>
        )
      case 'list':
        return list(block, caret)
      case 'table':
        return table(block)
      case 'rule':
        return <hr />
      default:
        return (
          <p>
            {spans(block.text)}
            {end}
          </p>
        )
    }
  }
}

function list(block: Extract<Block, { kind: 'list' }>, caret: boolean) {
  const items = block.items.map((item, i) => {
    const last = caret && i === block.items.length - 1
    return (
      <li key={i}>
        {item.includes('\n') ? (
          <Markdown text={item} caret={last} />
        ) : (
          <>
            {spans(item)}
            {last && <Caret />}
          </>
        )}
      </li>
    )
  })
  return block.ordered ? <ol start={block.start}>{items}</ol> : <ul>{items}</ul>
}

function table(block: Extract<Block, { kind: 'table' }>) {
  return (
    <div class="table" tabIndex={0} role="group" aria-label="Table">
      <table>
        <thead>
          <tr>
            {block.head.map((cell, i) => (
              <th key={i} scope="col">
                {spans(cell)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {block.rows.map((row, i) => (
            <tr key={i}>
              {block.head.map((_, j) => (
                <td key={j}>{spans(row[j] ?? '')}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

const spans = (text: string) => draw(inlines(text))

function draw(all: Inline[]): ComponentChildren {
  return all.map((inline, i) => {
    switch (inline.kind) {
      case 'strong':
        return <strong key={i}>{draw(inline.children)}</strong>
      case 'em':
        return <em key={i}>{draw(inline.children)}</em>
      case 'strike':
        return <s key={i}>{draw(inline.children)}</s>
      case 'code':
        return <code key={i}>{inline.text}</code>
      case 'link':
        return (
          <a key={i} href={inline.href} target="_blank" rel="noopener noreferrer">
            {draw(inline.children)}
          </a>
        )
      default:
        return inline.text
    }
  })
}
