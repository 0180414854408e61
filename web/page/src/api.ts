import { answered, headers } from './auth'

// Calls of the server that are answered once.

export class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

// call makes a request of a Connect service in JSON.
export async function call<T>(method: string, request: object, signal?: AbortSignal): Promise<T> {
  const sent = headers()
  let response: Response
  try {
    response = await fetch(`/chatfeed.v1.${method}`, {
      method: 'POST',
      headers: { ...sent, 'Content-Type': 'application/json' },
      body: JSON.stringify(request),
      ...(signal && { signal }),
    })
  } catch {
    throw new Refused('unavailable', 'The server cannot be reached. Nothing is lost; try again.')
  }
  const answer = (await response.json().catch(() => ({}))) as { code?: string; message?: string } & T
  if (response.ok) return answer
  const code = answer.code ?? String(response.status)
  answered(code, sent)
  throw new Refused(code, answer.message ?? response.statusText)
}

// Problem is why a call has failed, for people. One that passes by itself may be over soon.
export interface Problem {
  text: string
  passes: boolean
}

async function tried(request: Promise<unknown>): Promise<Problem | undefined> {
  try {
    await request
    return undefined
  } catch (error) {
    const { code, message } = error as Refused
    return { text: message, passes: code === 'unavailable' || code === 'unauthenticated' }
  }
}

// These return the problem, or nothing.
export const send = (workflowId: string, id: string, text: string) => tried(call('ChatService/SendMessage', { workflowId, id, text }))
export const stop = (workflowId: string) => tried(call('ChatService/StopAnswer', { workflowId }))
export const approve = (workflowId: string, callId: string, approved: boolean) =>
  tried(call('ChatService/AnswerApproval', { workflowId, callId, approved }))
