import type { Cursor, Delta, Gone, Item, Message, Progress, Tool } from "./types.js";

/** A message in its latest version, or one that is being written. It never changes; another takes its place. */
export interface ChatMessage {
  /** The id of the first version. */
  readonly id: string;
  /** The id of the latest version. */
  readonly version: string;
  /** "assistant" while it is being written. */
  readonly role: string;
  readonly status: string;
  /** It is all there. Until then it is made of deltas. */
  readonly complete: boolean;
  /** Which attempt has written the deltas; 0 of a complete one. */
  readonly attempt: number;
  /** By number. A complete message has one, of the kind "text". */
  readonly parts: readonly ChatPart[];
}

/** A piece of a message that is of one kind. */
export interface ChatPart {
  readonly number: number;
  /** "text", "reasoning", "tool-input" or another one. */
  readonly kind: string;
  readonly text: string;
}

/** A call of a tool in its latest state. What a state leaves out is that of the states before, and null where none has had it. */
export type ChatTool = Readonly<Tool>;

/** How far the workflow has come. */
export type ChatProgress = Readonly<Required<Progress>>;

/** A message, and what is needed to go on with it. */
interface Entry {
  shown: ChatMessage;
  /** Of the latest version. */
  at: Cursor;
  /** Of the first version or, before there is one, of the first delta. */
  place: Cursor;
  /** It was erased. */
  hidden: boolean;
  /** By the part's number. */
  texts: Map<number, Text>;
}

/** The text of a part that is being written. */
interface Text {
  /** In code points. */
  length: number;
  /** Deltas that begin after its end, in order. */
  ahead: Delta[];
}

/** The latest of something, with the id and time of its item. */
interface Latest<Shown> {
  shown: Shown;
  id: string;
  at: Cursor;
}

/**
 * What people are shown of one workflow, as `feed/fold` has it in Go: both pass the same cases. The items may be given in any
 * portions, from any cursor, and again: the result is that of having been given each once. What did not change is the same object.
 */
export class Fold {
  #entries = new Set<Entry>(); // also those that are not shown
  #versions = new Map<string, Entry>(); // by the id of every version
  #calls = new Map<string, Latest<ChatTool>>(); // in the order of their first states
  #progress: Latest<ChatProgress> | undefined;
  // What was returned last, until something changes.
  #messages: readonly ChatMessage[] | undefined;
  #tools: readonly ChatTool[] | undefined;

  /**
   * The messages to show, in the order of their first versions: a message takes the place where it ends, since its deltas are gone
   * for whoever comes later, and one that is still being written the place where it began.
   */
  get messages(): readonly ChatMessage[] {
    return (this.#messages ??= [...this.#entries]
      .filter(({ shown, hidden }) => !hidden && shown.status !== "deleted")
      .sort((a, b) => a.place - b.place)
      .map(({ shown }) => shown));
  }

  /** The calls of tools, in the order of their first states. */
  get tools(): readonly ChatTool[] {
    return (this.#tools ??= [...this.#calls.values()].map(({ shown }) => shown));
  }

  /** The latest progress. */
  get progress(): ChatProgress | null {
    return this.#progress?.shown ?? null;
  }

  /** Adds an item. Types that do not change what is shown are ignored, and deltas and tool calls whose body is omitted. */
  add({ type, createdAt, item }: Item): void {
    if (type === "message") this.#message(item, createdAt);
    if (type === "delta" && item.messageId) this.#delta(item, createdAt);
    if (type === "tool" && item.callId) this.#tool(item, createdAt);
    if (type === "progress" && !(this.#progress && this.#progress.at >= createdAt)) {
      const { progress = 0, status = "", result = "", final = false } = item;
      this.#progress = { shown: { progress, status, result, final }, id: item.id, at: createdAt };
    }
  }

  /** Puts a whole message in the place of what there is of it: its deltas, and the versions before. */
  #message({ id, message = "", role = "", status = "", replaces }: Message & { id: string }, at: Cursor): void {
    const origin = replaces || id; // the first version
    const draft = this.#versions.get(id);
    const entry = this.#versions.get(origin) ?? draft ?? this.#begin(origin, at);
    const { complete } = entry.shown;
    this.#versions.set(origin, entry).set(id, entry);
    if (draft && draft !== entry && !draft.shown.complete) this.#entries.delete(draft);
    if (!complete || at < entry.place) {
      entry.place = at;
      this.#messages = undefined;
    }
    if (complete && at <= entry.at) return; // it was here before
    this.#messages = undefined;
    entry.shown = {
      id: !complete && entry === draft ? origin : entry.shown.id,
      version: id,
      role,
      status,
      complete: true,
      attempt: 0,
      parts: [{ number: 0, kind: "text", text: message }],
    };
    entry.at = at;
    entry.hidden = false;
    entry.texts.clear();
  }

  /** Makes an entry for a message of which nothing has come before. */
  #begin(id: string, place: Cursor): Entry {
    const shown = { id, version: id, role: "assistant", status: "", complete: false, attempt: 0, parts: [] };
    const entry = { shown, at: 0, place, hidden: false, texts: new Map() };
    this.#versions.set(id, entry);
    this.#entries.add(entry);
    return entry;
  }

  #delta(delta: Delta, createdAt: Cursor): void {
    const { messageId: id, attempt = 0, part: number = 0, kind = "" } = delta;
    const entry = this.#versions.get(id) ?? this.#begin(id, createdAt);
    let { shown } = entry;
    if (shown.complete || attempt < shown.attempt) return;
    if (attempt > shown.attempt) {
      shown = { ...shown, attempt, parts: [] };
      entry.texts.clear();
    }
    let text = entry.texts.get(number);
    let parts = shown.parts;
    if (!text) {
      entry.texts.set(number, (text = { length: 0, ahead: [] }));
      parts = [...parts, { number, kind, text: "" }].sort((a, b) => a.number - b.number);
    }
    const more = grow(text, delta);
    if (more) parts = parts.map((part) => (part.number === number ? { ...part, text: part.text + more } : part));
    if (parts === entry.shown.parts && createdAt >= entry.place) return; // it was here before
    entry.place = Math.min(entry.place, createdAt);
    entry.shown = { ...shown, parts };
    this.#messages = undefined;
  }

  /** Sets the state of a call. */
  #tool({ id, callId, messageId = "", name = "", state = "", input = null, output = null, error = "" }: Tool & { id: string }, at: Cursor): void {
    const item = { shown: { callId, messageId, name, state, input, output, error }, id, at };
    const call = this.#calls.get(callId);
    const older = call && at <= call.at; // it was here before, or it says what the later one has left out
    const latest = older ? call : item;
    const before = (older ? item : call)?.shown;
    const shown = {
      ...latest.shown,
      messageId: latest.shown.messageId || before?.messageId || "",
      input: latest.shown.input ?? before?.input ?? null,
      output: latest.shown.output ?? before?.output ?? null,
    };
    const { shown: was } = latest;
    if (older && was.messageId === shown.messageId && was.input === shown.input && was.output === shown.output) return;
    this.#calls.set(callId, { ...latest, shown });
    this.#tools = undefined;
  }

  /**
   * Takes away an item that was erased, unless another of the same id has come since. Of a message that was edited, the latest
   * version counts; the deltas of a message that was never finished go together.
   */
  remove({ type, id, _createdAt: at }: Gone): void {
    const is = (latest: Latest<unknown> | undefined) => latest && latest.id === id && latest.at <= at;
    const message = type === "delta" ? id.replace(/(:[^:]*){3}$/, "") : id; // without attempt, part and at
    const entry = this.#versions.get(message);
    if (type === "message" && entry?.shown.version === id && entry.at <= at) {
      entry.hidden = true;
      this.#messages = undefined;
    }
    if (type === "delta" && entry && !entry.shown.complete) {
      this.#versions.delete(message);
      this.#entries.delete(entry);
      this.#messages = undefined;
    }
    if (type === "tool") {
      for (const [callId, call] of this.#calls) {
        if (!is(call)) continue;
        this.#calls.delete(callId);
        this.#tools = undefined;
      }
    }
    if (type === "progress" && is(this.#progress)) this.#progress = undefined;
  }
}

/** Returns what a delta adds to a text, with those that have waited for it. What overlaps is the same text. */
function grow(text: Text, delta: Delta): string {
  let more = "";
  text.ahead.push(delta);
  text.ahead.sort((a, b) => (a.at ?? 0) - (b.at ?? 0));
  while (text.ahead[0] && (text.ahead[0].at ?? 0) <= text.length) {
    const { at = 0, delta = "" } = text.ahead.shift()!;
    const rest = [...delta].slice(text.length - at);
    more += rest.join("");
    text.length += rest.length;
  }
  return more;
}
