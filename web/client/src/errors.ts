/** The beginnings of the codes after which another attempt cannot succeed: invalid_argument and so on, of the codes of Connect. */
const fatal = /^(inv|not|perm|fail|unim|out)/;

/** What the server or the way to it has answered instead of items. */
export class FeedError extends Error {
  override readonly name = "FeedError";

  constructor(
    /** A code of Connect, such as "invalid_argument" or "unavailable". */
    readonly code: string,
    message: string,
    /** Seconds to wait before the next attempt, as the server has asked. */
    readonly retryAfter = 0,
    /** Whether something else than a chatfeed server has answered, perhaps because this way does not lead to one. */
    readonly foreign = false,
  ) {
    super(message);
  }

  /** Whether another attempt cannot succeed. */
  get fatal(): boolean {
    return fatal.test(this.code);
  }
}

/** The code for a status of HTTP that came without one. A success that is not what was asked for is "unimplemented", too. */
function codeOf(status: number): string {
  const known: Record<number, string> = { 401: "unauthenticated", 403: "permission_denied", 408: "unavailable", 429: "resource_exhausted" };
  return known[status] ?? (status < 500 ? "unimplemented" : "unavailable");
}

/** Returns the error of an answer that is no success or not of the type that was asked for. */
export async function refusal(response: Response): Promise<FeedError> {
  const after = +response.headers.get("Retry-After")! || 0;
  try {
    const error = JSON.parse(await response.text());
    if (error.code) return told(error, after);
  } catch {} // not ours
  const what = `the answer is not from a chatfeed server (HTTP ${response.status})`;
  return new FeedError(codeOf(response.status), what, after, true);
}

/** Returns the error that the server has sent. */
export const told = ({ code, message }: any, retryAfter = 0) => new FeedError(code, message, retryAfter);

export const unreachable = "the server cannot be reached";

/** Returns an error as a FeedError. fetch throws a TypeError where there is no connection or it breaks. */
export function feedError(error: unknown): FeedError {
  return error instanceof FeedError ? error : new FeedError("unavailable", unreachable);
}

/** Returns the parsed text, which has come from the server. */
export function parse(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    throw garbled();
  }
}

/** Returns the error of an answer that cannot be read. */
export const garbled = () => new FeedError("unknown", "the answer is garbled", 0, true);
