import { found, help, pane, session, viewing, wire } from './store'

// What can be done from anywhere; main.ts says how.
export const actions = {
  open: (_workflow: string) => {},
  older: () => {},
  retry: () => {},
  signOut: () => {},
}

export const keys: [key: string, what: string][] = [
  ['j / k', 'next, previous workflow'],
  ['/ or ⌘K', 'search'],
  ['↑', 'older items, in the conversation'],
  ['e', 'newest item'],
  ['m', 'write a message'],
  ['.', 'show or hide the wire'],
  ['esc', 'leave, close'],
  ['?', 'this help'],
]

const wide = () => matchMedia('(min-width: 1100px)').matches

export function toggleWire() {
  if (wide()) wire.value = !wire.value
  else pane.value = pane.value === 'wire' ? 'conversation' : 'wire'
}

// listen makes keys work wherever nothing is being typed.
export function listen() {
  addEventListener('keydown', (e) => {
    if ((e.metaKey || e.ctrlKey) && e.key === 'k') {
      e.preventDefault()
      return focus('search')
    }
    if (e.metaKey || e.ctrlKey || e.altKey) return
    const target = e.target as HTMLElement
    const typing = target.matches('input, textarea, select')
    if (e.key === 'Escape') {
      if (viewing.value) viewing.value = ''
      else if (help.value) help.value = false
      else if (typing) target.blur()
      else pane.value = 'conversation'
      return
    }
    if (typing || viewing.value || help.value) return
    const act = {
      j: () => move(1),
      k: () => move(-1),
      '/': () => focus('search'),
      '?': () => (help.value = true),
      '.': toggleWire,
      m: () => focus('composer'),
      e: () => document.getElementById('to-end')?.click(),
      ArrowUp: () => {
        const log = document.querySelector<HTMLElement>('main [role=log]')
        if (!log || log.contains(document.activeElement)) return
        log.focus()
        actions.older()
      },
    }[e.key]
    if (!act) return
    if (e.key !== 'ArrowUp') e.preventDefault()
    act()
  })
}

function focus(id: string) {
  const act = () => {
    const input = document.getElementById(id) as HTMLInputElement | null
    input?.focus()
    if (id === 'search') input?.select()
  }
  if (id !== 'search' || matchMedia('(min-width: 700px)').matches) return act() // at once: what is typed next belongs there
  pane.value = 'list'
  requestAnimationFrame(act)
}

function move(by: number) {
  const all = found.value
  if (all.length === 0) return
  const at = all.findIndex((w) => w.id === session.value?.id)
  actions.open(all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + by))]!.id)
}
