import type { Batch, Cursor, Cursors, CursorStore, Item, Options } from "./types.js";

/** How many items are remembered, to recognize those that come again. */
const remembered = 1000;

/** Where a feed is in each of its workflows. */
export class Positions {
  workflows: readonly string[];
  cursors: Cursors = {};
  readonly #store: CursorStore | undefined;
  readonly #seen = new Map<string, Cursor>();

  constructor(options: Options) {
    const { workflows, after } = options;
    this.workflows = [...new Set(workflows)];
    if (typeof after === "object" && typeof after.get === "function") this.#store = after as CursorStore;
    else this.#keep((id) => (typeof after === "object" ? (after as Cursors)[id] : after));
  }

  /** Reads the cursors from where they are kept. */
  async load(): Promise<void> {
    const kept = await this.#store?.get();
    if (kept) this.#keep((id) => kept[id]);
  }

  #keep(cursor: (workflow: string) => Cursor | undefined): void {
    for (const id of this.workflows) {
      const at = cursor(id);
      if (at !== undefined) this.cursors[id] = at;
    }
  }

  add(workflow: string, after: Cursor = 0): void {
    if (this.workflows.includes(workflow)) return;
    this.workflows = [...this.workflows, workflow];
    this.cursors[workflow] = after;
  }

  drop(workflow: string): void {
    this.workflows = this.workflows.filter((id) => id !== workflow);
    delete this.cursors[workflow];
  }

  /**
   * Returns the items that have not come before. The server repeats none; what is between may. Whether an item is new cannot be
   * told by its time: after a failover that lost commits, new items may be older than those that were lost.
   */
  fresh(items: readonly Item[]): readonly Item[] {
    return items.filter(({ type, createdAt, item }) => {
      const key = JSON.stringify([item.workflowId, type, item.id]);
      if (this.#seen.get(key) === createdAt) return false;
      this.#seen.delete(key); // so that it is the newest
      this.#seen.set(key, createdAt);
      if (this.#seen.size > remembered) this.#seen.delete(this.#seen.keys().next().value!);
      return this.workflows.includes(item.workflowId);
    });
  }

  /** Moves the cursors: a batch was rendered. */
  rendered({ anew, items, upToDate }: Batch): void {
    this.cursors = { ...this.cursors };
    const move = (id: string, to: Cursor) => {
      if (this.workflows.includes(id)) this.cursors[id] = to; // it may have been dropped
    };
    for (const id of anew) move(id, 0);
    for (const { item, createdAt } of items) move(item.workflowId, createdAt);
    // Who is up to date without an item has not to ask for the last ones again: all that follows is new.
    if (upToDate) for (const id of this.workflows) this.cursors[id] ??= 0;
    if (anew.length || items.length) this.#store?.set(this.cursors);
  }
}

/** Keeps cursors in the page's session storage under a name, so that they survive a reload but not the tab. */
export function sessionCursor(name: string): CursorStore {
  const key = `chatfeed:${name}`;
  return {
    get() {
      try {
        return JSON.parse(sessionStorage.getItem(key) ?? "{}");
      } catch {
        return {}; // it is not allowed, or not ours
      }
    },
    set(cursors) {
      try {
        sessionStorage.setItem(key, JSON.stringify(cursors));
      } catch {} // it is full or not allowed
    },
  };
}
