import { vi } from "vitest";
import type { Batch, Feed, Item } from "../src/types.js";

/** Iterates a feed. Unless told otherwise, each batch is rendered at once. */
export class Reader {
  readonly batches: Batch[] = [];
  readonly states: string[] = [];
  error: unknown;
  ended = false;
  readonly done: Promise<void>;
  /** While this is set, a batch is not rendered before it resolves. */
  hold: Promise<void> | undefined;

  constructor(readonly feed: Feed) {
    feed.subscribe(() => {
      const text = "transport" in feed.state ? `${feed.state.status} ${feed.state.transport}` : feed.state.status;
      if (this.states.at(-1) !== text) this.states.push(text);
    });
    this.done = this.read();
  }

  private async read() {
    try {
      for await (const batch of this.feed) {
        this.batches.push(batch);
        await this.hold;
      }
    } catch (error) {
      this.error = error;
    }
    this.ended = true;
  }

  get items(): Item[] {
    return this.batches.flatMap(({ items }) => items);
  }

  get texts(): string[] {
    return this.items.map(({ item }) => (item as any).message);
  }
}

/** Lets time pass. */
export const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
/** Lets everything happen that needs no time. */
export const settle = () => pass(10);
