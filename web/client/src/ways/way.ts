import { refusal } from "../errors.js";
import type { Batch, Cursor, Cursors } from "../types.js";

/** What one connection is to deliver. */
export interface Request {
  /** The server, without a slash at the end. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly workflows: readonly string[];
  /** Where to begin. A workflow without a cursor begins with its last items, or with the first. */
  readonly cursors: Readonly<Cursors>;
  readonly last: number | undefined;
  readonly types: readonly string[] | undefined;
  /** Ends the connection; the iteration then throws. */
  readonly signal: AbortSignal;
  /** To be called whenever something has come, even if it is no whole batch. */
  heard(): void;
}

/**
 * Opens one connection and returns what it delivers. A batch without anything in it is a heartbeat. Nothing is read from the
 * network before the next batch is asked for, as far as the transport allows. It ends or throws when the connection does.
 */
export type Way = (request: Request) => AsyncIterable<Batch>;

/** Makes a batch of what has come. */
export function batch(of: Partial<Batch>): Batch {
  return { gone: [], anew: [], items: [], upToDate: false, final: false, ...of };
}

/** Sends a request and returns the answer, or throws what it is instead of one of the content type. */
export async function ask(request: Request, path: string, contentType: string, init?: { method: string; headers: object; body: Uint8Array<ArrayBuffer> }): Promise<Response> {
  const { url, headers, signal } = request;
  const response = await fetch(url + path, { ...init, headers: { ...headers, ...init?.headers }, signal });
  if (!response.ok || !response.headers.get("Content-Type")?.startsWith(contentType)) throw await refusal(response);
  return response;
}

/** Returns parameters for an address, without those that are undefined. Those of a list are joined. */
export function query(of: Record<string, unknown>): string {
  return `${new URLSearchParams(JSON.parse(JSON.stringify(of)))}`; // JSON leaves them out
}

/** Returns where to begin in a workflow. */
export function start({ cursors, last }: Request, workflow: string): { after?: Cursor; last?: number } {
  const after = cursors[workflow];
  return after !== undefined ? { after } : last ? { last } : {};
}

/** Returns the chunks of a body. */
export async function* chunks(response: Response, request: Request): AsyncGenerator<Uint8Array> {
  const reader = response.body!.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      request.heard();
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have failed
  }
}
