import { batch } from '@preact/signals'

import { call, type Refused } from './api'
import { type Listed, listState, type ListState, seen, workflows } from './store'
import { streamed } from './stream'

interface Workflow {
  id: string
  head: string
  status?: string
  progress?: number
  final?: boolean
}

interface Frame {
  workflows?: Workflow[]
  gone?: string[]
  anew?: boolean
  upToDate?: boolean
  nextPageToken?: string
}

// Watch keeps the list of workflows as the server has it, while the page can be seen.
export class Watch {
  private all = new Map<string, Listed>()
  private abort = new AbortController()
  private pausing = new AbortController()
  private first = true

  start() {
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.stop()
      else if (this.abort.signal.aborted) void this.run()
    })
    if (!document.hidden) void this.run()
    else this.abort.abort()
  }

  private stop() {
    this.abort.abort()
    this.pausing.abort()
  }

  // retry connects at once if it is waiting.
  retry() {
    this.pausing.abort()
  }

  // restart begins as someone else: what there was is forgotten.
  restart() {
    this.stop()
    this.all.clear()
    this.first = true
    batch(() => {
      workflows.value = []
      listState.value = { kind: 'loading' }
    })
    if (!document.hidden) void this.run()
  }

  private async run() {
    const { signal } = (this.abort = new AbortController())
    for (let failures = 0; !signal.aborted; failures++) {
      let state: ListState = { kind: 'away', reason: 'Reconnecting: the server has ended the list.' }
      try {
        for await (const frame of streamed<Frame>('FeedService/WatchWorkflows', { pageSize: 1000 }, signal)) {
          failures = 0
          this.apply(frame)
          if (frame.nextPageToken) void this.rest(frame.nextPageToken, signal)
        }
      } catch (error) {
        if (signal.aborted) return
        const { code, message } = error as Refused
        if (code === 'unauthenticated' || code === 'permission_denied') state = { kind: 'refused', reason: `${message}.` }
        else state = { kind: 'away', reason: `Reconnecting: ${message}.` }
      }
      listState.value = state
      this.pausing = new AbortController()
      // Whoever is refused is so until something else changes.
      const most = state.kind === 'refused' ? 30_000 : 5000
      await pause(Math.min(most, 300 * 2 ** failures) * (0.5 + Math.random() / 2), this.pausing.signal)
    }
  }

  // rest reads the older pages of the list.
  private async rest(token: string, signal: AbortSignal) {
    try {
      for (let pageToken = token; pageToken && !signal.aborted; ) {
        const page: Frame = await call('FeedService/ListWorkflows', { pageSize: 1000, pageToken }, signal)
        for (const w of page.workflows ?? []) if (!this.all.has(w.id)) this.all.set(w.id, listed(w))
        this.show()
        pageToken = page.nextPageToken ?? ''
      }
    } catch {
      // The list is begun anew with the next connection.
    }
  }

  private apply(frame: Frame) {
    if (frame.anew) this.all.clear()
    for (const id of frame.gone ?? []) this.all.delete(id)
    for (const w of frame.workflows ?? []) this.all.set(w.id, listed(w))
    const empty = !frame.anew && !frame.gone?.length && !frame.workflows?.length
    batch(() => {
      this.show()
      if (frame.upToDate) listState.value = { kind: 'live' }
      else if (empty && listState.value.kind === 'live') listState.value = { kind: 'away', reason: 'The server cannot reach the database.' }
    })
  }

  // show sorts the list, and takes what there is at first for seen.
  private show() {
    const list = [...this.all.values()].sort((a, b) => b.head - a.head)
    const known = seen.value
    const added = list.filter((w) => known[w.id] === undefined)
    if (added.length > 0) seen.value = { ...known, ...Object.fromEntries(added.map((w) => [w.id, this.first ? w.head : 0])) }
    if (list.length > 0) this.first = false
    workflows.value = list
  }
}

function listed(w: Workflow): Listed {
  return { id: w.id, head: seconds(w.head), status: w.status ?? '', percent: w.progress, final: w.final ?? false }
}

// seconds returns a time of protobuf's JSON as a cursor, to the microsecond.
const seconds = (time: string) => Number(`${Date.parse(`${time.slice(0, 19)}Z`) / 1000}${time.slice(19, -1)}`)

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) return resolve()
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
