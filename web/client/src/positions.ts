import type { Batch, Cursor, Cursors, CursorStore, Item, Options } from "./types.js";

/** How many items are remembered, to recognize those that come again. */
const remembered = 1000;

/** Where a feed is in each of its workflows. */
export function track({ workflows: given, after }: Pick<Options, "workflows" | "after">) {
  let workflows: readonly string[] = [...new Set(given)];
  let cursors: Cursors = {};
  let store: CursorStore | undefined;
  const seen = new Map<string, Cursor>();

  /** Makes the cursors anew, those of the workflows that are followed. */
  const keep = (cursor: (workflow: string) => Cursor | undefined) => {
    const kept: Cursors = {};
    for (const id of workflows) {
      const at = cursor(id);
      if (at !== undefined) kept[id] = at;
    }
    cursors = kept;
  };

  const from: any = after;
  if (typeof from?.get === "function") store = from;
  else keep((id) => (typeof from === "object" ? from[id] : from));

  return {
    get workflows() {
      return workflows;
    },
    get cursors() {
      return cursors;
    },

    /** Reads the cursors from where they are kept. */
    async load(): Promise<void> {
      const kept = await store?.get();
      keep((id) => kept?.[id] ?? cursors[id]);
    },

    add(workflow: string, after: Cursor = 0): void {
      if (workflows.includes(workflow)) return;
      workflows = [...workflows, workflow];
      cursors = { ...cursors, [workflow]: after };
    },

    drop(workflow: string): void {
      workflows = workflows.filter((id) => id !== workflow);
      keep((id) => cursors[id]);
    },

    /**
     * Returns the items that have not come before. The server repeats none; what is between may. Whether an item is new cannot be
     * told by its time: after a failover that lost commits, new items may be older than those that were lost.
     */
    fresh: (items: readonly Item[]): readonly Item[] =>
      items.filter(({ type, createdAt, item }) => {
        const key = JSON.stringify([item.workflowId, type, item.id]);
        if (seen.get(key) === createdAt) return false;
        seen.delete(key); // so that it is the newest
        seen.set(key, createdAt);
        if (seen.size > remembered) seen.delete(seen.keys().next().value!);
        return workflows.includes(item.workflowId);
      }),

    /** Moves the cursors: a batch was rendered. */
    rendered({ anew, items, upToDate }: Batch): void {
      const moved: Cursors = { ...cursors };
      for (const id of anew) moved[id] = 0;
      for (const { item, createdAt } of items) moved[item.workflowId] = createdAt;
      // Who is up to date without an item has not to ask for the last ones again: all that follows is new.
      keep((id) => moved[id] ?? (upToDate ? 0 : undefined));
      if (anew.length || items.length) store?.set(cursors);
    },
  };
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
