/**
 * A time in seconds since 1970 with up to six decimals: the `createdAt` of the last item of a workflow that a client has
 * rendered. It is all that is needed to go on after any failure. Take it from an item, never from a clock.
 */
export type Cursor = number;

/** A cursor for each workflow, by the workflow's id. */
export type Cursors = Record<string, Cursor>;

/** An item of a workflow. Items never change. `Type` names its kind and `Body` has the fields of that kind. */
export interface Entry<Type extends string, Body> {
  readonly type: Type;
  /** Strictly increasing within a workflow, except after a failover of the database that lost commits. */
  readonly createdAt: Cursor;
  readonly item: Readonly<
    Body & {
      /** Unique among the workflow's items of its type. */
      id: string;
      workflowId: string;
      _createdAt: Cursor;
      /** What the writer has added; any JSON value. */
      metadata?: unknown;
      /** The parts that cannot be put on the wire and are left out, such as "metadata" or the type's own name. */
      omitted?: readonly string[];
    }
  >;
}

export interface Message {
  message: string;
  role: string;
  status: string;
  /** The id of the first version of the message that this one takes the place of. */
  replaces?: string;
}

export interface Log {
  level: string;
  message: string;
}

export interface Stat {
  /** In seconds. */
  processingTime: number;
  tokenCount: number;
}

export interface Progress {
  /** Per cent. */
  progress: number;
  status: string;
  result: string;
  /** The workflow is closed: nothing can follow. */
  final?: boolean;
}

/** A piece of a message that is being written; see `chat`, which puts them together. */
export interface Delta {
  messageId: string;
  attempt: number;
  part: number;
  kind: string;
  at: number;
  delta: string;
}

/** A state of a call of a tool. */
export interface Tool {
  callId: string;
  messageId: string;
  name: string;
  state: string;
  input: unknown;
  output: unknown;
  error: string;
}

export type Item =
  | Entry<"message", Message>
  | Entry<"log", Log>
  | Entry<"stat", Stat>
  | Entry<"progress", Progress>
  | Entry<"delta", Delta>
  | Entry<"tool", Tool>;

export type ItemType = Item["type"];

/** An item that was erased. Whoever has it, with a `createdAt` that is not later, removes it. */
export interface Gone {
  readonly workflowId: string;
  readonly type: string;
  readonly id: string;
  readonly _createdAt: Cursor;
}

/** What has come at once. Apply its parts in this order: `gone`, `anew`, `items`. */
export interface Batch {
  readonly gone: readonly Gone[];
  /** Workflows whose whole history was erased: discard their items. The new history follows. */
  readonly anew: readonly string[];
  /** In order within each workflow, each once. */
  readonly items: readonly Item[];
  /** With this batch, everything that is committed has come. */
  readonly upToDate: boolean;
  /** All workflows are closed, and this is the last batch. */
  readonly final: boolean;
}

/** A way to the server. `auto` begins with `connect` and takes the next of `sse`, `long-poll` and `poll` where one does not deliver. */
export type Transport = "connect" | "sse" | "socket" | "long-poll" | "poll";

/** What a feed is doing. A state never changes; another takes its place. */
export type State =
  | { readonly status: "idle" }
  | { readonly status: "connecting"; readonly transport: Transport }
  /** `away`: the server has said that it cannot reach its database. The feed goes on by itself when it can. */
  | { readonly status: "catching-up"; readonly transport: Transport; readonly away: boolean }
  | { readonly status: "live"; readonly transport: Transport }
  /** `reason` is for people; `retryAt` is in milliseconds since 1970. */
  | { readonly status: "waiting"; readonly reason: string; readonly retryAt: number }
  /** `final`: all workflows are closed, and everything has come. `closed`: the feed was closed here. */
  | { readonly status: "ended"; readonly reason: "final" | "closed" }
  | { readonly status: "failed"; readonly code: string; readonly reason: string };

/** Keeps cursors between visits. `set` is called after each batch that was rendered. */
export interface CursorStore {
  get(): Cursors | undefined | Promise<Cursors | undefined>;
  set(cursors: Cursors): void;
}

export interface Options {
  /** The workflows to follow, at least one. They need not exist yet. */
  workflows: readonly string[];
  /** Where to begin: a cursor for all, one for each, or where they are kept. Without it: `last`, or the first item. */
  after?: Cursor | Cursors | CursorStore;
  /** Begin with so many of the newest items, 1 to 1,000, in workflows that have no cursor. */
  last?: number;
  /** The types of items to ask for. Without it: message, log, stat and progress. */
  types?: readonly ItemType[];
  /** Returns the token for the `Authorization` header. It is called before each request, so it may return a new one each time. */
  token?: () => string | Promise<string>;
  /** The default is `auto`. */
  transport?: "auto" | Transport;
  /** Closes the feed when it aborts. */
  signal?: AbortSignal;
}

/** Items of workflows as they are committed. It can be iterated once. */
export interface Feed extends AsyncIterable<Batch> {
  /** The server, without a slash at the end. */
  readonly url: string;
  readonly workflows: readonly string[];
  readonly state: State;
  /** The cursors of what was rendered. */
  readonly cursors: Readonly<Cursors>;
  /** Calls `listener` after each change of `state`, until the function that it returns is called. */
  subscribe(listener: () => void): () => void;
  /** Follows another workflow, too, from a cursor or its first item. */
  add(workflow: string, after?: Cursor): void;
  /** Follows a workflow no longer. */
  drop(workflow: string): void;
  /** Connects at once if it is waiting. */
  retry(): void;
  /** Ends the iteration. */
  close(): void;
  /** The headers of a request to the server: the token. */
  headers(): Promise<Record<string, string>>;
}
