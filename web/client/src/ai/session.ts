import { follow } from "../follow.js";
import { share } from "../tabs.js";
import type { Batch, Cursor, Feed, Options } from "../types.js";
import { ends, History } from "./history.js";
import type { Response } from "./response.js";

/** Follows a workflow for all that show it with one transport, while there are any. */
export class Session {
  readonly feed: Feed;
  readonly history = new History();
  /** The history has been read. */
  read = false;
  /** Why nothing can come any more: the feed was refused, or the workflow is closed. */
  ended: { error: unknown } | undefined;
  /** Responses that the SDK is reading. */
  readonly responses = new Set<Response>();
  /** How often a chat was detached, and resumed. */
  detached = 0;
  resumed = 0;
  /** Responses that were aborted just now: it is not known yet why. */
  aborting = 0;
  #attached = new Set<(again?: boolean) => void>();
  #stopped = -1; // what had come when the user has stopped the answer
  #waiting: (() => void)[] = [];

  constructor(
    url: string,
    { share: name, ...options }: Pick<Options, "token" | "transport"> & { share?: string },
    readonly workflow: string,
    private readonly unused: () => void,
  ) {
    const asked: Options = { ...options, workflows: [workflow], types: ["message", "delta", "tool", "progress", "log"] };
    this.feed = name === undefined ? follow(url, asked) : share(url, { ...asked, name });
    void this.#run();
  }

  async #run(): Promise<void> {
    try {
      for await (const batch of this.feed) this.#take(batch);
      this.ended = { error: undefined };
    } catch (error) {
      this.ended = { error };
    }
    this.#changed();
  }

  #take(batch: Batch): void {
    this.history.apply(batch);
    this.read ||= batch.upToDate;
    if (this.read) this.#changed();
  }

  #changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
    for (const changed of [...this.#attached]) changed();
  }

  /** Resolves when something has changed. */
  change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves when the history has been read. It throws when that cannot be, and when the signal aborts. */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    const wake = () => this.#changed();
    signal?.addEventListener("abort", wake);
    try {
      while (!this.read && !this.ended && !signal?.aborted) await this.change();
    } finally {
      signal?.removeEventListener("abort", wake);
    }
    signal?.throwIfAborted();
    if (this.ended?.error) throw this.ended.error;
  }

  /** Resolves when the feed is live, or nothing can come any more. */
  async live(signal: AbortSignal | undefined): Promise<void> {
    const away = () => ["connecting", "catching-up", "waiting"].includes(this.feed.state.status);
    await new Promise<void>((resolve) => {
      const look = () => {
        if (away() && !signal?.aborted) return;
        end();
        signal?.removeEventListener("abort", look);
        resolve();
      };
      const end = this.feed.subscribe(look);
      signal?.addEventListener("abort", look);
      look();
    });
    signal?.throwIfAborted();
  }

  /** Calls `changed` after each change until the function that it returns is called. `again`: the SDK may have changed the chat. */
  attach(changed: (again?: boolean) => void): () => void {
    this.#attached.add(changed);
    return () => {
      this.#attached.delete(changed);
      this.detached++;
      this.leave();
    };
  }

  get attached(): boolean {
    return this.#attached.size > 0;
  }

  /** Looks again at what is to be done, and ends what nobody shows. */
  leave(): void {
    for (const changed of [...this.#attached]) changed(true);
    if (this.#attached.size || this.responses.size || this.aborting) return;
    this.feed.close();
    this.unused();
  }

  /** When the workflow was last asked something, or said that it is done. */
  get #round(): Cursor {
    return Math.max(this.history.asked?.since ?? 0, this.history.steps.findLast(({ shown }) => ends(shown))?.at ?? 0);
  }

  /** The user has stopped the answer that is being given. */
  stop(): void {
    this.#stopped = this.#round;
  }

  /** Whether the workflow is answering and the user has not stopped that. */
  get running(): boolean {
    return !this.ended && this.history.running && this.#stopped !== this.#round;
  }
}
