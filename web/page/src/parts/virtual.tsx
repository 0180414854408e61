import type { ComponentChildren } from 'preact'
import { useCallback, useEffect, useLayoutEffect, useReducer, useRef } from 'preact/hooks'

interface Props<Row extends { key: string }> {
  label: string
  rows: Row[]
  estimate: (row: Row) => number // its height before it has been drawn
  draw: (row: Row) => ComponentChildren
  before?: ComponentChildren // above the first row
  onTop?: () => void // the reader is near the first row
  onEnd?: (atEnd: boolean) => void // the reader has come to the last row, or left it
  toEnd?: { current: () => void } // scrolls to the last row
  toRow?: { current: (key: string) => void } // scrolls to a row
  watch?: string | undefined // the key of a row
  onWatch?: (where: Where) => void // it has come into sight, or left it
}

export type Where = 'above' | 'seen' | 'below'

// How far beyond the edges rows are drawn, in pixels.
const beyond = 600

// Virtual draws those of many rows of different heights that are in sight. It stays at the end if it is there; elsewhere, what is being
// read does not move, whatever is added, removed or grows around it.
export function Virtual<Row extends { key: string }>(props: Props<Row>) {
  const scroller = useRef<HTMLDivElement>(null)
  const space = useRef<HTMLDivElement>(null)
  const window = useRef<HTMLDivElement>(null)
  const s = useRef(new Place()).current
  const [, redraw] = useReducer((n: number) => n + 1, 0)

  s.layOut(props.rows, props.estimate as (row: { key: string }) => number)
  const [from, to] = s.inSight()

  const atEnd = (is: boolean) => {
    if (s.stuck === is) return
    s.stuck = is
    props.onEnd?.(is)
  }

  const look = () => {
    if (props.watch) props.onWatch?.(s.where(props.watch))
  }

  useLayoutEffect(() => {
    const at = scroller.current!
    s.height = at.clientHeight
    for (const child of window.current!.children) s.heights.set((child as HTMLElement).dataset.key!, child.getBoundingClientRect().height)
    s.layOut(props.rows, props.estimate as (row: { key: string }) => number)
    space.current!.style.height = `${s.total}px`
    window.current!.style.transform = `translateY(${s.offsets[from] ?? 0}px)`
    const head = space.current!.offsetTop
    const top = s.stuck ? at.scrollHeight - s.height : s.anchored()
    if (top !== undefined && Math.abs(top - at.scrollTop) > 0.5) at.scrollTop = top
    s.top = at.scrollTop
    s.head = head
    look()
    const [first, last] = s.inSight(0)
    if (first < from || last > to) redraw(0)
  })

  useEffect(() => {
    const observer = new ResizeObserver(() => redraw(0))
    observer.observe(scroller.current!)
    observer.observe(window.current!)
    return () => observer.disconnect()
  }, [])

  const scrolled = useCallback(() => {
    const at = scroller.current!
    const up = at.scrollTop < s.top - 1
    s.top = at.scrollTop
    if (at.scrollHeight - at.scrollTop - at.clientHeight < 8) atEnd(true)
    else if (up) atEnd(false)
    if (!s.stuck) s.anchor()
    look()
    const [first, last] = s.inSight(beyond / 2)
    if (first < s.drawn[0] || last > s.drawn[1]) redraw(0)
    if (at.scrollTop < 400) props.onTop?.()
  }, [props.onTop, props.onEnd, props.watch])

  if (props.toEnd) {
    props.toEnd.current = () => {
      atEnd(true)
      redraw(0)
    }
  }
  if (props.toRow) {
    props.toRow.current = (key) => {
      if (!s.anchorAt(key)) return
      atEnd(false)
      redraw(0)
    }
  }
  s.drawn = [from, to]
  return (
    <div class="scroller" ref={scroller} onScroll={scrolled} tabIndex={0} role="log" aria-live="off" aria-label={props.label}>
      {props.before}
      <div class="space" ref={space}>
        <div ref={window}>
          {props.rows.slice(from, to).map((row) => (
            <div key={row.key} data-key={row.key} class="row">
              {props.draw(row)}
            </div>
          ))}
        </div>
      </div>
    </div>
  )
}

// Place knows where each row is, and where the reader is.
class Place {
  heights = new Map<string, number>()
  offsets = new Float64Array(0)
  total = 0
  top = 0 // scrollTop
  head = 0 // height of what is above the first row
  height = 800 // of what can be seen
  stuck = true
  drawn: [number, number] = [0, 0]

  private keys: string[] = []
  private at: { key: string; delta: number; index: number } | undefined // the first row in sight, and how far its top is from the edge

  layOut(rows: { key: string }[], estimate: (row: { key: string }) => number) {
    if (this.offsets.length < rows.length + 1) this.offsets = new Float64Array(rows.length * 2 + 64)
    this.keys.length = rows.length
    let y = 0
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!
      this.keys[i] = row.key
      this.offsets[i] = y
      y += this.heights.get(row.key) ?? estimate(row)
    }
    this.offsets[rows.length] = y
    this.total = y
  }

  // inSight returns the rows to draw: from the first, up to before the second.
  inSight(more = beyond): [number, number] {
    const top = this.stuck ? this.total - this.height : this.top - this.head
    const from = this.index(top - more)
    return [from, Math.min(this.keys.length, this.index(top + this.height + more) + 1)]
  }

  // anchorAt has a row shown a little below the upper edge. It reports whether there is such a row.
  anchorAt(key: string): boolean {
    const index = this.keys.lastIndexOf(key)
    if (index < 0) return false
    this.at = { key, index, delta: this.height / 4 }
    this.top = this.offsets[index]! + this.head - this.height / 4
    return true
  }

  // where says whether a row is in sight: so much of it that it can be read.
  where(key: string): Where {
    const index = this.keys.lastIndexOf(key)
    if (index < 0) return 'seen'
    const from = this.offsets[index]! + this.head - this.top
    const to = this.offsets[index + 1]! + this.head - this.top
    return to < 24 ? 'above' : from > this.height - 24 ? 'below' : 'seen'
  }

  anchor() {
    const index = this.index(this.top - this.head)
    const key = this.keys[index]
    this.at = key === undefined ? undefined : { key, index, delta: this.offsets[index]! - this.top + this.head }
  }

  // anchored returns the scrollTop at which the anchor is where it was.
  anchored(): number | undefined {
    if (!this.at) return undefined
    if (this.keys[this.at.index] !== this.at.key) {
      const index = this.keys.indexOf(this.at.key)
      if (index < 0) {
        this.anchor()
        return undefined
      }
      this.at.index = index
    }
    return Math.max(0, this.offsets[this.at.index]! + this.head - this.at.delta)
  }

  // index returns the row at a height.
  private index(y: number): number {
    let low = 0
    let high = this.keys.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.offsets[middle]! <= y) low = middle
      else high = middle - 1
    }
    return Math.max(0, low)
  }
}
