import { signal } from '@preact/signals'

// Who the reader is to the server: a token, which is kept as long as the tab is open.

const place = 'chatfeed.token'

function saved(): string {
  try {
    return sessionStorage.getItem(place) ?? ''
  } catch {
    return ''
  }
}

export const token = signal(saved())

// denied says that the server wants a token: none was sent, or it has refused the one that was.
export const denied = signal<'' | 'none' | 'refused'>('')

// headers are what every request to the server carries.
export const headers = (): Record<string, string> => (token.peek() ? { Authorization: `Bearer ${token.peek()}` } : {})

// answered takes note of the answer to a request that carried these headers.
export function answered(code: string, sent: Record<string, string>) {
  if (code !== 'unauthenticated' || sent.Authorization !== headers().Authorization) return
  denied.value = sent.Authorization ? 'refused' : 'none'
}

// use begins with another token. It returns why it cannot be one, or an empty string.
export function use(next: string): string {
  const text = next.trim().replace(/^Bearer +/i, '')
  if (!/^[\x21-\x7e]+$/.test(text)) return 'A token has no spaces and no letters beyond ASCII.'
  save(text)
  return ''
}

export const forget = () => save('')

function save(next: string) {
  try {
    if (next) sessionStorage.setItem(place, next)
    else sessionStorage.removeItem(place)
  } catch {
    // It holds until the page is closed.
  }
  denied.value = ''
  token.value = next
}
