import { effect } from '@preact/signals'

import { search, session, viewing, type Way, way, ways, wire } from './store'

// The page's state is in its address, so that a reload, a bookmark and the back button lead to the same screen.

export interface Place {
  workflow: string
  way: Way
  search: string
  item: string
  wire: boolean
}

export function read(address: string): Place {
  const query = new URL(address).searchParams
  const via = query.get('via') as Way
  return {
    workflow: query.get('workflow') ?? '',
    way: ways.includes(via) ? via : 'auto',
    search: query.get('search') ?? '',
    item: query.get('item') ?? '',
    wire: query.get('wire') !== 'hidden',
  }
}

export function write(place: Place): string {
  const query = new URLSearchParams()
  if (place.workflow) query.set('workflow', place.workflow)
  if (place.way !== 'auto') query.set('via', place.way)
  if (place.search) query.set('search', place.search)
  if (place.item) query.set('item', place.item)
  if (!place.wire) query.set('wire', 'hidden')
  const text = query.toString()
  return text ? `?${text}` : location.pathname
}

// here is where the page is.
const here = (): Place => ({
  workflow: session.value?.id ?? '',
  way: way.value,
  search: search.value,
  item: viewing.value,
  wire: wire.value,
})

// linkTo is the address of another workflow.
export const linkTo = (workflow: string): string => write({ ...here(), workflow, item: '' })

// keepAddress writes the state to the address, and calls open with what the back button leads to.
export function keepAddress(open: (workflow: string) => void) {
  const go = (place: Place) => {
    way.value = place.way
    search.value = place.search
    viewing.value = place.item
    wire.value = place.wire
    open(place.workflow)
  }
  addEventListener('popstate', () => go(read(location.href)))
  go(read(location.href))
  let workflow = session.value?.id
  effect(() => {
    const address = write(here())
    if (new URL(address, location.href).href === location.href) return
    if (session.value?.id !== workflow && workflow !== undefined) history.pushState(null, '', address)
    else history.replaceState(null, '', address)
    workflow = session.value?.id
  })
}
