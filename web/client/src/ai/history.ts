import { Fold, type ChatMessage, type ChatProgress, type ChatTool } from "../fold.js";
import type { Batch, Cursor, Item } from "../types.js";

/** A piece of what the AI SDK calls a message. */
export type Part = Thought<"text" | "reasoning"> | { readonly key: string; readonly kind: "tool"; readonly tool: ChatTool; readonly asked: boolean };

interface Thought<Kind = "reasoning"> {
  readonly key: string;
  readonly kind: Kind;
  readonly text: string;
  readonly done: boolean;
}

/**
 * What the AI SDK calls a message: one of the user, or all that the workflow says and does until it is done or the user writes again.
 * Its id is that of the first message of the feed in it.
 */
export interface Turn {
  readonly id: string;
  readonly role: "user" | "system" | "assistant";
  /** When it began, and when its latest item came. */
  readonly since: Cursor;
  readonly at: Cursor;
  /** How many were known before it. */
  readonly number: number;
  readonly parts: readonly Part[];
  /** Every message in it is complete, and there is one. */
  readonly complete: boolean;
  readonly status: string;
  readonly progress: ChatProgress | undefined;
}

/** A message of the feed with its calls of tools, or calls whose message has not come. */
interface Entry {
  id: string;
  since: Cursor;
  at: Cursor;
  message: ChatMessage | undefined;
  tools: ChatTool[];
}

interface Step {
  at: Cursor;
  shown: ChatProgress;
  id: string;
}

/** The statuses of progress that are errors, and what to say of them where nothing else does. */
export const failures: ReadonlyMap<string, string> = new Map([
  ["failed", "the workflow has failed"],
  ["terminated", "the workflow was terminated"],
  ["timed_out", "the workflow has timed out"],
]);

/** Whether a progress says that the workflow does nothing until somebody writes to it. */
export const ends = ({ progress, status, final }: ChatProgress): boolean =>
  final || progress >= 100 || failures.has(status) || ["stopped", "cancelled", "waiting"].includes(status);

/** A workflow's items as turns. What a turn has and the order of its parts are the same whether one was there or comes later. */
export class History {
  turns: readonly Turn[] = [];
  /** Every progress, in order. */
  steps: Step[] = [];
  /** The latest error that the workflow has logged, and when. */
  failure = { text: "", at: 0 };
  #fold = new Fold();
  #messages = new Map<string, Cursor>(); // when the first version came, by its id
  #drafts = new Map<string, Cursor>(); // when the first delta came, by the message's id
  #latest = new Map<string, Cursor>(); // of a message and of its deltas
  #calls = new Map<string, Cursor>();
  #asked = new Set<string>(); // calls that somebody has been asked about
  #ideas = new Map<string, Thought[]>(); // the reasoning of each message
  #attempts = new Map<string, number>();
  #order = new Map<string, number>(); // of parts and turns, as they came
  #known = 0;
  #owners = new Map<string, string>(); // the turns' ids, by those of their entries
  #made = new Map<string, { of: unknown[]; turn: Turn }>(); // the turns, with what they were made of

  apply({ gone, anew, items }: Batch): void {
    for (const one of gone) {
      this.#fold.remove(one);
      if (one.type === "progress") this.steps = this.steps.filter(({ id, at }) => id !== one.id || at > one._createdAt);
    }
    if (anew.length) this.#forget();
    for (const item of items) this.#add(item);
    this.turns = this.#turns();
  }

  /** The history was erased, and another begins. */
  #forget(): void {
    this.#fold = new Fold();
    this.steps = [];
    for (const map of [this.#messages, this.#drafts, this.#latest, this.#calls, this.#asked, this.#ideas, this.#attempts, this.#owners, this.#made]) map.clear();
  }

  #add(entry: Item): void {
    const { type, createdAt, item } = entry;
    if (type === "log" && item.level === "error") this.failure = { text: item.message, at: createdAt };
    const least = (map: Map<string, Cursor>, id: string) => map.set(id, Math.min(map.get(id) ?? Infinity, createdAt));
    const late = (id: string) => this.#latest.set(id, Math.max(this.#latest.get(id) ?? 0, createdAt));
    if (type === "message") {
      least(this.#messages, item.replaces || item.id);
      late(item.replaces || item.id);
      this.#number(`text:${item.replaces || item.id}`);
    }
    if (type === "delta") {
      least(this.#drafts, item.messageId);
      late(item.messageId);
      this.#written(item.messageId, item.attempt, item.part, item.kind);
    }
    if (type === "tool") {
      this.#number(`call:${item.callId}`);
      least(this.#calls, item.callId);
      late(item.messageId || item.callId);
      if (item.state?.startsWith("approval")) this.#asked.add(item.callId);
    }
    this.#fold.add(entry);
    const progress = this.#fold.progress;
    if (type === "progress" && progress && (this.steps.at(-1)?.at ?? 0) < createdAt) {
      this.steps.push({ at: createdAt, shown: progress, id: item.id });
    }
  }

  /** Keeps the order in which the parts of a message are written, which begins anew with an attempt. */
  #written(id: string, attempt: number, part: number, kind: string): void {
    if (attempt > (this.#attempts.get(id) ?? 0)) {
      this.#attempts.set(id, attempt);
      for (const key of [`text:${id}`, ...(this.#ideas.get(id) ?? []).map(({ key }) => key)]) this.#order.delete(key);
    }
    if (attempt === this.#attempts.get(id)) this.#number(kind === "reasoning" ? `idea:${id}:${part}` : `text:${id}`);
  }

  #entries(): Entry[] {
    const entries = new Map<string, Entry>();
    for (const message of this.#fold.messages) {
      const { id, complete } = message;
      const at = this.#latest.get(id) ?? 0;
      entries.set(id, { id, since: (complete ? this.#messages : this.#drafts).get(id) ?? at, at, message, tools: [] });
    }
    for (const tool of this.#fold.tools) {
      const { callId, messageId } = tool;
      const owner = entries.get(messageId);
      const since = this.#calls.get(callId)!;
      if (owner && (!owner.message || roleOf(owner.message) === "assistant")) {
        owner.tools.push(tool);
        if (!owner.message) owner.at = Math.max(owner.at, since);
      } else if (owner || !messageId) {
        entries.set(`call:${callId}`, { id: callId, since, at: this.#latest.get(callId) ?? since, message: undefined, tools: [tool] });
      } else if (!this.#messages.has(messageId) && !this.#drafts.has(messageId)) {
        // Calls of a message that was deleted or erased are not shown; this one has not come yet.
        entries.set(messageId, { id: messageId, since, at: this.#latest.get(messageId) ?? since, message: undefined, tools: [tool] });
      }
    }
    return [...entries.values()].sort((a, b) => a.since - b.since);
  }

  #turns(): Turn[] {
    const groups = new Map<string, { role: Turn["role"]; entries: Entry[] }>();
    let last: { id: string; role: Turn["role"]; entries: Entry[] } | undefined;
    for (const entry of this.#entries()) {
      const role = entry.message ? roleOf(entry.message) : "assistant";
      let owner = this.#owners.get(entry.id);
      if (role !== "assistant") owner = entry.id;
      owner ??= last?.role === "assistant" && !this.#isOver(last.entries, entry.since) ? last.id : entry.id;
      this.#owners.set(entry.id, owner);
      const group = groups.get(owner);
      if (group) group.entries.push(entry);
      else groups.set(owner, { role, entries: [entry] });
      if (!group) last = { id: owner, ...groups.get(owner)! };
    }
    const all = [...groups];
    return all.map(([id, { role, entries }], i) => {
      const since = entries[0]!.since;
      const before = all[i - 1]?.[1];
      const from = before?.role === "user" ? before.entries[0]!.since : since;
      const progress = role === "assistant" ? this.#step(from, all[i + 1]?.[1].entries[0]!.since ?? Infinity) : undefined;
      return this.#turn(id, role, entries, progress);
    });
  }

  /** Returns a turn: the same object as before if it is the same. */
  #turn(id: string, role: Turn["role"], entries: Entry[], progress: ChatProgress | undefined): Turn {
    const at = Math.max(...entries.map((entry) => entry.at));
    const since = entries[0]!.since;
    const made = [since, at, progress, ...entries.flatMap(({ message, tools }) => [message, ...tools])];
    const had = this.#made.get(id);
    if (had && had.of.length === made.length && had.of.every((one, i) => one === made[i])) return had.turn;
    const messages = entries.flatMap(({ message }) => message ?? []);
    const parts = entries.flatMap((entry) => this.#parts(entry)).sort((a, b) => this.#number(a.key) - this.#number(b.key));
    const turn: Turn = {
      id,
      role,
      since,
      at,
      number: this.#number(`turn:${id}`),
      parts: progress && ends(progress) ? parts.map(close) : parts,
      complete: messages.length > 0 && messages.every(({ complete }) => complete),
      status: messages.at(-1)?.status ?? "",
      progress,
    };
    this.#made.set(id, { of: made, turn });
    return turn;
  }

  /** Returns the latest progress between two times. */
  #step(from: Cursor, until: Cursor): ChatProgress | undefined {
    let [low, high] = [0, this.steps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle]!.at < until) low = middle + 1;
      else high = middle;
    }
    const step = this.steps[low - 1];
    return step && step.at > from ? step.shown : undefined;
  }

  /** Whether a turn was over before something came. */
  #isOver(entries: Entry[], before: Cursor): boolean {
    const since = entries[0]!.since;
    if (!this.steps.length) return entries.some(({ message }) => message?.complete);
    return this.steps.some(({ at, shown }) => at > since && at < before && ends(shown) && shown.status !== "waiting");
  }

  /** Returns the parts of an entry: first what a message begins with. */
  #parts({ id, message, tools }: Entry): Part[] {
    const parts: Part[] = message ? [...this.#thoughts(message)] : [];
    for (const tool of tools) parts.push({ key: `call:${tool.callId}`, kind: "tool", tool, asked: this.#asked.has(tool.callId) });
    const said = message?.parts.filter(({ kind }) => kind === "text") ?? [];
    const text = said.map((part) => part.text).join("");
    if (text) parts.push({ key: `text:${id}`, kind: "text", text, done: message!.complete });
    return parts;
  }

  /** Returns the reasoning of a message, which the feed drops when the message is complete. Whoever has seen it keeps it. */
  #thoughts({ id, complete, parts }: ChatMessage): Part[] {
    const kept = this.#ideas.get(id) ?? [];
    if (complete) return kept.map((part) => ({ ...part, done: true }));
    const said = Math.max(-1, ...parts.filter(({ kind, text }) => kind === "text" && text).map(({ number }) => number));
    const thoughts = parts.flatMap(({ number, kind, text }): Thought[] =>
      kind === "reasoning" && text ? [{ key: `idea:${id}:${number}`, kind, text, done: said > number }] : [],
    );
    this.#ideas.set(id, thoughts);
    return thoughts;
  }

  /** Returns the place of something among all that have come. */
  #number(key: string): number {
    const number = this.#order.get(key) ?? this.#known++;
    this.#order.set(key, number);
    return number;
  }

  /** The latest message of the user. */
  get asked(): Turn | undefined {
    return this.turns.findLast(({ role }) => role === "user");
  }

  turn(id: string): Turn | undefined {
    return this.turns.find((turn) => turn.id === id);
  }

  /** Returns the answer to a message of the user. */
  answer(asked: string): Turn | undefined {
    const at = this.turns.findIndex(({ id }) => id === asked);
    return this.turns.find(({ role, number }, i) => at >= 0 && i > at && role === "assistant" && number > this.turns[at]!.number);
  }

  /** Returns what the workflow has said since the user has written, and after a time. */
  since(asked: string | undefined, after: Cursor): readonly Turn[] {
    const at = this.turns.findIndex(({ id }) => id === asked);
    return this.turns.filter((turn, i) => i > at && turn.role === "assistant" && turn.at > after);
  }

  /** Whether the workflow has said that it is done with a message of the user, or with what it does by itself since a time. */
  over(asked: string | undefined, after: Cursor): boolean {
    const user = asked === undefined ? undefined : this.turn(asked);
    if (asked !== undefined && !user) return false;
    if (!this.steps.length) return asked === undefined || this.answer(asked)?.complete === true;
    return this.steps.some(({ at, shown }) => at > Math.max(user?.since ?? 0, after) && ends(shown));
  }

  /** From when on a progress ends what the workflow is doing: it may have gone on by itself after it was done. */
  get after(): Cursor {
    const last = this.steps.at(-1);
    return last && !ends(last.shown) ? (this.steps.findLast(({ shown }) => ends(shown))?.at ?? 0) : 0;
  }

  /** Whether the workflow is answering, or doing something by itself. */
  get running(): boolean {
    const last = this.steps.at(-1);
    if (last?.shown.final) return false;
    if (!last && !this.asked) return this.turns.at(-1)?.complete === false;
    return !this.over(this.asked?.id, this.after);
  }
}

/** Returns a part of which nothing more comes. */
export const close = (part: Part): Part => (part.kind === "tool" || part.done ? part : { ...part, done: true });

function roleOf({ role }: ChatMessage): Turn["role"] {
  if (role === "user") return "user";
  return role === "system" || role === "developer" ? "system" : "assistant";
}
