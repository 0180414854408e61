import { batch } from '@preact/signals'

import { call, Refused } from './api'
import { type Listed, listState, seen, server, workflows } from './store'
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
  private first = true

  start() {
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.abort.abort()
      else if (this.abort.signal.aborted) void this.run()
    })
    if (!document.hidden) void this.run()
    else this.abort.abort()
  }

  private async run() {
    const { signal } = (this.abort = new AbortController())
    for (let failures = 0; !signal.aborted; failures++) {
      let reason = 'The server has ended the list.'
      try {
        for await (const frame of streamed<Frame>('FeedService/WatchWorkflows', { pageSize: 1000 }, signal)) {
          failures = 0
          this.apply(frame)
          if (frame.nextPageToken) void this.rest(frame.nextPageToken, signal)
        }
      } catch (error) {
        if (signal.aborted) return
        reason = (error as Error).message
        if (error instanceof Refused && (error.code === 'unauthenticated' || error.code === 'permission_denied')) {
          listState.value = { kind: 'refused', reason }
        }
      }
      if (listState.value.kind !== 'refused') listState.value = { kind: 'away', reason: `Reconnecting: ${reason}` }
      await pause(Math.min(5000, 300 * 2 ** failures) * (0.5 + Math.random() / 2), signal)
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

// watchStatus asks what the server can do, often while it cannot do everything. It never ends.
export async function watchStatus() {
  for (;;) {
    let ready = false
    if (!document.hidden) {
      try {
        const s = await call<Status>('FeedService/GetStatus', {})
        ready = s.chat?.available === true
        const reason = (s.chat?.reason ?? '').replace(/; try again.*/, '') // which this does by itself
        const building = reason.match(/package (\d+) of at most (\d+)/)
        server.value = {
          chat: ready,
          reason,
          starting: /^Temporal is (still being built|starting)/.test(reason),
          building: building ? (100 * Number(building[1])) / Number(building[2]) : undefined,
          temporalUI: s.temporalUi ?? '',
        }
      } catch {
        // It is asked again.
      }
    }
    await pause(ready ? 30_000 : 2000)
  }
}

interface Status {
  chat?: { available?: boolean; reason?: string }
  temporalUi?: string
}

const pause = (ms: number, signal?: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
