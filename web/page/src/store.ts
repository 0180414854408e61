import { computed, effect, signal } from '@preact/signals'

import { token } from './auth'
import type { Session } from './session'

// A workflow of the list.
export interface Listed {
  id: string
  head: number // created_at of its newest item
  status: string
  percent: number | undefined
  final: boolean
}

// What the server can do at the moment.
export interface Server {
  chat: boolean // a message can be sent now
  reason: string // why not, such as the progress of Temporal's build
  starting: boolean // Temporal is being built or started
  building: number | undefined // per cent of that, where it is known
  temporalUI: string // where its UI shows a workflow, up to the id, or empty
  database: string // the address of its database, where it tells that, or empty
}

export type ListState = { kind: 'loading' | 'live' } | { kind: 'away' | 'refused'; reason: string }

export type Way = 'auto' | 'connect' | 'sse' | 'socket' | 'long-poll' | 'poll'
export const ways: Way[] = ['auto', 'connect', 'sse', 'socket', 'long-poll', 'poll']

// offered are the ways that can be chosen: a socket cannot send a token.
export const offered = computed(() => (token.value ? ways.filter((w) => w !== 'socket') : ways))

export type Theme = 'system' | 'light' | 'dark'

export const workflows = signal<Listed[]>([])
export const listState = signal<ListState>({ kind: 'loading' })
export const server = signal<Server>({ chat: true, reason: '', starting: false, building: undefined, temporalUI: '', database: '' })
export const session = signal<Session | undefined>(undefined)
export const seen = signal<Record<string, number>>({}) // the newest item that was shown of each workflow
export const inSight = signal<Listed[]>([]) // the rows of the list that are drawn
export const search = signal('')
export const way = signal<Way>('auto')
export const theme = signal<Theme>('system')
export const now = signal(Date.now() / 1000) // to the second
export const pane = signal<'conversation' | 'list' | 'wire'>('conversation') // the one that is shown on a narrow screen, or over the others
export const wire = signal(true) // the right pane is shown where there is room
export const viewing = signal('') // the item whose JSON is shown, as type:id
export const help = signal(false)
export const announcement = signal('') // for screen readers

// ready says that messages can be sent now, as far as is known. What has failed for a reason that passes is tried again when it becomes so.
export const ready = computed(() => server.value.chat && session.value?.state.value.kind === 'live')

// found is what the search has found. Every word must be in the id or the status.
export const found = computed(() => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean)
  if (words.length === 0) return workflows.value
  return workflows.value.filter((w) => words.every((word) => `${w.id} ${w.status}`.toLowerCase().includes(word)))
})

// keep saves a signal where the browser lets pages save, and restores what was saved.
export function keep<T>(name: string, value: { value: T }, valid: (saved: unknown) => saved is T) {
  try {
    const saved: unknown = JSON.parse(localStorage.getItem(name) ?? 'null')
    if (valid(saved)) value.value = saved
  } catch {
    // Nothing was saved, or nothing may be.
  }
  let late: ReturnType<typeof setTimeout> | undefined
  const save = () => {
    late = undefined
    try {
      localStorage.setItem(name, JSON.stringify(value.value))
    } catch {
      // It holds until the page is closed.
    }
  }
  effect(() => {
    void value.value
    late ??= setTimeout(save, 500)
  })
  addEventListener('pagehide', save)
}
