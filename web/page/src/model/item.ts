// An item as every way delivers it: an element of chatData.
export interface Item {
  type: string
  createdAt: number // seconds with microseconds: the cursor of whoever has the item
  item: Body
}

// What items of all types have, and the fields of each type. A reader checks the type first.
export interface Body {
  id: string
  workflowId: string
  metadata?: unknown
  [field: string]: unknown
}

export interface Gone {
  workflowId: string
  type: string
  id: string
  _createdAt: number
}

// The types that the page asks for.
export const types = ['message', 'log', 'stat', 'progress', 'delta', 'tool']

export const text = (value: unknown): string => (typeof value === 'string' ? value : '')
export const number = (value: unknown): number => (typeof value === 'number' ? value : 0)
