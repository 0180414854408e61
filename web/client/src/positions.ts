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
    const given: any = after;
    if (typeof given?.get === "function") this.#store = given;
    else this.#keep((id) => (typeof given === "object" ? given[id] : given));
  }

  /** Reads the cursors from where they are kept. */
  async load(): Promise<void> {
    const kept = await this.#store?.get();
    this.#keep((id) => kept?.[id] ?? this.cursors[id]);
  }

  /** Makes the cursors anew, those of the workflows that are followed. */
  #keep(cursor: (workflow: string) => Cursor | undefined): void {
    const cursors: Cursors = {};
    for (const id of this.workflows) {
      const at = cursor(id);
      if (at !== undefined) cursors[id] = at;
    }
    this.cursors = cursors;
  }

  add(workflow: string, after: Cursor = 0): void {
    if (this.workflows.includes(workflow)) return;
    this.workflows = [...this.workflows, workflow];
    this.cursors = { ...this.cursors, [workflow]: after };
  }

  drop(workflow: string): void {
    this.workflows = this.workflows.filter((id) => id !== workflow);
    this.#keep((id) => this.cursors[id]);
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
    const moved: Cursors = { ...this.cursors };
    for (const id of anew) moved[id] = 0;
    for (const { item, createdAt } of items) moved[item.workflowId] = createdAt;
    // Who is up to date without an item has not to ask for the last ones again: all that follows is new.
    this.#keep((id) => moved[id] ?? (upToDate ? 0 : undefined));
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
