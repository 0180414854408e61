// Calls of the server that are answered once. Each returns an error for people, or an empty string.

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
  let response: Response
  try {
    response = await fetch(`/chatfeed.v1.${method}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(request),
      ...(signal && { signal }),
    })
  } catch {
    throw new Refused('unavailable', 'The server cannot be reached. Nothing is lost; try again.')
  }
  const answer = (await response.json().catch(() => ({}))) as { code?: string; message?: string } & T
  if (!response.ok) throw new Refused(answer.code ?? String(response.status), answer.message ?? response.statusText)
  return answer
}

async function tried(request: Promise<unknown>): Promise<string> {
  try {
    await request
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

export const send = (workflowId: string, id: string, text: string) => tried(call('ChatService/SendMessage', { workflowId, id, text }))
export const stop = (workflowId: string) => tried(call('ChatService/StopAnswer', { workflowId }))
export const approve = (workflowId: string, callId: string, approved: boolean) =>
  tried(call('ChatService/AnswerApproval', { workflowId, callId, approved }))
