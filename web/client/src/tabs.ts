import { feedError, type FeedError } from "./errors.js";
import { follow } from "./follow.js";
import { track } from "./positions.js";
import type { Batch, Cursors, Feed, Options, State } from "./types.js";

/** What tabs tell each other. Those that do not read from the server ask whether the one that does is there, and for a retry. */
type Note = { ask: "there" | "retry" } | { state: State; from?: Readonly<Cursors>; batch?: Batch };
type News = { from: Readonly<Cursors>; batch: Batch };

/** How many items may wait to be rendered. A tab that is further behind reads them from the server later. */
const most = 5_000;
/** How often the tab that reads is asked for a sign of life, and how long it has for that, in milliseconds. */
const interval = 15_000;
const patience = 5_000;

export interface SharedOptions extends Options {
  /** Tabs with the same name share. It has to differ between viewers, such as the id of the user: each is shown what the others may read. */
  name: string;
}

/**
 * Follows workflows like `follow`, and shares one connection with the other tabs of the browser that follow the same ones: of HTTP/1.1, a
 * browser has six to a server. The tab that holds a lock reads and tells the others; when it is closed, another goes on from where it
 * stands itself. A tab that is new, or has missed something, reads what it lacks from the server. Each has its own cursors. The
 * workflows cannot change. Where the browser has no locks or channels, it is `follow`.
 */
export function share(url: string, options: SharedOptions): Feed {
  return globalThis.navigator?.locks && globalThis.BroadcastChannel ? new Tab(url, options) : follow(url, options);
}

class Tab implements Feed {
  state: State = { status: "idle" };
  readonly url: string;
  readonly workflows: readonly string[];
  readonly headers: Feed["headers"];

  readonly #options: SharedOptions;
  readonly #positions: ReturnType<typeof track>;
  readonly #listeners = new Set<() => void>();
  readonly #iterator = this.#run();
  readonly #name: string;
  #channel: BroadcastChannel | undefined;
  #timers: ReturnType<typeof setTimeout>[] = [];
  /** What this tab reads for all. */
  #lead: Feed | undefined;
  /** What it reads for itself because something is missing. */
  #own: Feed | undefined;
  /** The feed that was read for all has ended, and is not to be read again. */
  #done = false;
  #news: News[] = [];
  /** Something is missing before the news. */
  #behind = true;
  /** Was up to date once. From then on the others need not wait until this tab has rendered. */
  #caughtUp = false;
  #error: FeedError | undefined;
  #asking = new AbortController();
  #wake = () => {};
  #drained = () => {};

  constructor(url: string, options: SharedOptions) {
    const like = follow(url, options); // it is not iterated
    this.url = like.url;
    this.workflows = like.workflows;
    this.headers = () => like.headers();
    this.#options = options;
    this.#positions = track(options);
    this.#name = "chatfeed:" + JSON.stringify([options.name, this.url, [...this.workflows].sort(), options.types]);
    options.signal?.addEventListener("abort", () => this.close());
    if (options.signal?.aborted) this.close();
  }

  get cursors() {
    return this.#positions.cursors;
  }

  [Symbol.asyncIterator](): AsyncIterator<Batch> {
    return {
      next: () => this.#iterator.next(),
      return: () => {
        this.close();
        return this.#iterator.return(undefined);
      },
    };
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  add(): void {
    throw new TypeError("the workflows of a shared feed cannot change");
  }

  drop(): void {
    this.add();
  }

  retry(): void {
    this.#own?.retry();
    this.#lead?.retry();
    this.#tell({ ask: "retry" });
  }

  close(): void {
    if (this.#over) return;
    this.#set({ status: "ended", reason: "closed" });
    this.#leave();
  }

  get #over(): boolean {
    return this.state.status === "ended" || this.state.status === "failed";
  }

  /** Closes what is open. */
  #leave(): void {
    this.#timers.forEach(clearTimeout);
    this.#channel?.close();
    this.#asking.abort();
    this.#own?.close();
    this.#lead?.close();
    this.#drained();
    this.#wake();
  }

  /** Takes over the state of the feed that is read. Its end is that of this one only when everything was rendered. */
  #pass(state: State): void {
    if (state.status !== "ended" && state.status !== "failed") this.#set(state);
  }

  #set(state: State): void {
    if (this.#over) return;
    this.state = state;
    for (const listener of [...this.#listeners]) listener();
  }

  #tell(note: Note): void {
    if (!this.#over) this.#channel?.postMessage(note);
  }

  async *#run(): AsyncGenerator<Batch> {
    if (this.#over) return;
    let last: Batch | undefined;
    this.#open();
    try {
      await this.#positions.load();
      await this.#begin();
      while (!this.#over) {
        const news = await this.#next();
        if (this.#over) return;
        const batches = news ? [news] : this.#missing();
        for await (const one of batches) {
          const batch = this.#fresh(one);
          if (!batch) {
            this.#behind = true;
            break;
          }
          const empty = !batch.items.length && !batch.gone.length && !batch.anew.length;
          if (!empty || batch.final || batch.upToDate !== last?.upToDate) yield batch;
          this.#positions.rendered(batch);
          last = batch;
          this.#caughtUp ||= batch.upToDate;
          if (batch.final) this.#set({ status: "ended", reason: "final" });
          if (!news && batch.upToDate) break; // the rest is in the news
        }
      }
    } catch (error) {
      const { code, message } = feedError(error);
      this.#set({ status: "failed", code, reason: message });
      throw error;
    } finally {
      this.close();
      this.#leave();
    }
  }

  /** Listens to the other tabs. */
  #open(): void {
    const channel = (this.#channel = new BroadcastChannel(this.#name));
    let there = true;
    channel.onmessage = ({ data }: { data: Note }) => {
      const lead = this.#lead;
      if ("ask" in data) {
        if (data.ask === "retry") lead?.retry();
        if (lead) this.#tell({ state: lead.state });
        return;
      }
      there = true;
      if (lead) return; // from one that does not know yet that it has been replaced
      if (!this.#own) this.#pass(data.state);
      if (data.batch) this.#add({ from: data.from!, batch: data.batch });
    };
    this.#timers[0] = setInterval(() => {
      if (this.#lead) return;
      there = false;
      this.#tell({ ask: "there" });
      // One that does not answer is frozen. When it comes back, it learns that it has lost the lock.
      this.#timers[1] = setTimeout(() => there || this.#lead || this.#asking.abort(), patience);
    }, interval);
  }

  /** Reads for all if no other tab does, and else waits until it can. */
  async #begin(): Promise<void> {
    await new Promise<void>((begun) => {
      const hold = (lock: Lock | null) => {
        const held = lock && !this.#over && this.#read();
        begun();
        return held;
      };
      const ask = async (options: LockOptions) => {
        await navigator.locks.request(this.#name, options, hold).catch(() => this.#lead?.close()); // it was stolen, or is asked for no longer
      };
      const run = async () => {
        await ask({ ifAvailable: true });
        begun();
        while (!this.#over && !this.#done) {
          this.#asking = new AbortController();
          await ask({ signal: this.#asking.signal });
          if (this.#asking.signal.aborted && !this.#over) await ask({ steal: true });
        }
      };
      void run();
    });
  }

  /** Reads for all tabs until the feed ends. */
  async #read(): Promise<void> {
    this.#behind = false;
    this.#own?.close();
    const feed = (this.#lead = this.#follow());
    try {
      feed.subscribe(() => {
        this.#tell({ state: feed.state });
        if (!this.#own) this.#pass(feed.state);
      });
      for await (const batch of feed) {
        const from = feed.cursors;
        this.#tell({ state: feed.state, from, batch });
        this.#add({ from, batch });
        if (!this.#caughtUp) await new Promise<void>((resolve) => (this.#drained = resolve));
      }
      this.#done = feed.state.status === "ended" && feed.state.reason === "final";
    } catch (error) {
      this.#error = feedError(error);
      this.#done = true;
    }
    this.#lead = undefined;
    this.#wake();
  }

  /** Returns a feed that goes on from where this tab stands. */
  #follow(): Feed {
    const { after, signal, name, ...rest } = this.#options;
    return follow(this.url, { ...rest, after: this.cursors });
  }

  /** Reads what this tab lacks. */
  async *#missing(): AsyncGenerator<News> {
    const feed = (this.#own = this.#follow());
    feed.subscribe(() => this.#pass(feed.state));
    try {
      for await (const batch of feed) yield { from: this.cursors, batch };
    } finally {
      this.#own = undefined;
    }
  }

  #add(news: News): void {
    this.#news.push(news);
    if (this.#news.reduce((sum, { batch }) => sum + batch.items.length, 0) > most && this.#news.length > 1) {
      this.#news = [];
      this.#behind = true;
    }
    this.#wake();
  }

  /** Returns the next news, or nothing where something is missing or the feed is over. */
  async #next(): Promise<News | undefined> {
    for (;;) {
      if (this.#over) return;
      if (this.#behind) {
        this.#behind = false;
        return;
      }
      const news = this.#news.shift();
      if (news) return news;
      if (this.#error) throw this.#error;
      this.#drained();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Returns what is new to this tab, or nothing if something before it is missing. */
  #fresh({ from, batch }: News): Batch | undefined {
    const here = (id: string) => this.cursors[id] ?? 0;
    const contiguous = batch.items.every(({ item: { workflowId: id } }) => (from[id] ?? 0) <= here(id));
    if (!contiguous) return;
    // What this tab has has been told before. After a failover that lost commits, what is new may be older.
    const isNew = (id: string, at: number) => batch.anew.includes(id) || (from[id] ?? 0) === here(id) || at > here(id);
    return { ...batch, items: batch.items.filter(({ item, createdAt }) => isNew(item.workflowId, createdAt)) };
  }
}
