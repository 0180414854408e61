import { FeedError } from "./errors.js";
import { track } from "./positions.js";
import { sleep } from "./sleep.js";
import type { Batch, Cursor, Feed, Gone, Item, ItemType, State } from "./types.js";
import { batch } from "./ways/way.js";

/** An item of a script. What is left out is filled in: an id, the feed's first workflow, and a time after those of the items before. */
export interface ScriptItem {
  type: ItemType;
  createdAt?: Cursor;
  item: { id?: string; workflowId?: string; metadata?: unknown; [field: string]: unknown };
}

/** What happens next. */
export type Step =
  /** A batch comes, with which the feed is up to date unless `upToDate` says otherwise. After a drop, it is connected again. */
  | { items?: readonly ScriptItem[]; gone?: readonly Gone[]; anew?: readonly string[]; upToDate?: boolean }
  /** Nothing comes for so many milliseconds. The clock of the tests may be a fake one. */
  | { sleep: number }
  /** The connection breaks, for this reason. */
  | { drop: string }
  /** All workflows are closed, or the server refuses to go on. */
  | { end: "final" | FeedError };

const transport = "connect";

/**
 * Returns a feed that does what a script says, without a server. As with a real one, a batch counts as rendered when the next is asked
 * for, so no step is taken before. After the last step nothing happens until the feed is closed. Calls, such as those of
 * `chat`, are sent with `fetch` to "http://feed.test".
 */
export function scripted(steps: Iterable<Step> | AsyncIterable<Step>, { workflows = ["wf_1"] }: { workflows?: readonly string[] } = {}): Feed {
  const positions = track({ workflows });
  const listeners = new Set<() => void>();
  const closed = new AbortController();
  let state: State = { status: "idle" };
  const become = (next: State) => {
    state = next;
    for (const listener of [...listeners]) listener();
  };
  const over = () => state.status === "ended" || state.status === "failed";
  const close = () => {
    closed.abort(); // first, as who listens may look
    if (!over()) become({ status: "ended", reason: "closed" });
  };

  async function* run(): AsyncGenerator<Batch> {
    const complete = completer(workflows[0]!);
    become({ status: "connecting", transport });
    for await (const step of steps) {
      if (over()) return;
      if ("sleep" in step) {
        await sleep(step.sleep / 1000, closed.signal).catch(() => {}); // it is closed
      } else if ("drop" in step) {
        become({ status: "waiting", reason: step.drop, retryAt: Date.now() + 1000 });
      } else if ("end" in step && step.end !== "final") {
        become({ status: "failed", code: step.end.code, reason: step.end.message });
        throw step.end;
      } else {
        if (state.status === "waiting") become({ status: "connecting", transport });
        const final = "end" in step;
        const { items = [], gone = [], anew = [], upToDate = true } = final ? {} : step;
        if (state.status !== (upToDate ? "live" : "catching-up")) become(upToDate ? { status: "live", transport } : { status: "catching-up", transport, away: false });
        const next = batch({ items: items.map(complete), gone, anew, upToDate, final });
        yield next;
        positions.rendered(next);
        if (final && !over()) become({ status: "ended", reason: "final" });
      }
      if (over()) return;
    }
    await new Promise<void>((resolve) => closed.signal.addEventListener("abort", () => resolve()));
  }

  const iterator = run();
  return {
    url: "http://feed.test",
    get workflows() {
      return positions.workflows;
    },
    get state() {
      return state;
    },
    get cursors() {
      return positions.cursors;
    },
    [Symbol.asyncIterator]: () => ({
      next: () => iterator.next(),
      return: () => {
        close();
        return iterator.return(undefined);
      },
    }),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    add: (workflow, after) => positions.add(workflow, after),
    drop: (workflow) => positions.drop(workflow),
    retry() {},
    close,
    headers: async () => ({}),
  };
}

/** Returns the function that fills in what a script leaves out. */
function completer(first: string): (item: ScriptItem) => Item {
  let count = 0;
  let last = 1_795_311_746;
  return ({ type, createdAt = last + 0.001, item: { id = `${type}_${++count}`, workflowId = first, ...body } }) => {
    last = Math.max(last, (createdAt = Math.round(createdAt * 1e6) / 1e6));
    return { type, createdAt, item: { id, workflowId, ...body, _createdAt: createdAt } } as unknown as Item;
  };
}

export { FeedError };
