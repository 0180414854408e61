import { again } from "./again.js";
import { Auto } from "./auto.js";
import { FeedError, feedError } from "./errors.js";
import { whenBack } from "./page.js";
import { Positions } from "./positions.js";
import { onAbort, sleep } from "./sleep.js";
import { Timing } from "./timing.js";
import type { Batch, Feed, Options, State, Transport } from "./types.js";
import { connect } from "./ways/connect.js";
import { longPoll, poll, read } from "./ways/poll.js";
import { socket } from "./ways/socket.js";
import { sse } from "./ways/sse.js";
import type { Request, Way } from "./ways/way.js";

const ways: Record<Transport, Way> = { connect, sse, socket, "long-poll": longPoll, poll };

/**
 * Follows workflows of the server at `url`, which may be "" for the page's own. Nothing is sent before the feed is iterated.
 *
 * Each item is delivered once and in order, across broken connections, restarts and changes of the transport. A batch counts as
 * rendered, and moves the cursors, when the next one is asked for: the body of a `for await` has run. While it runs, no more is
 * read. The iteration ends when all workflows are closed for good or the feed is closed, and throws a FeedError if the server
 * refuses what was asked for.
 */
export function follow(url: string, options: Options): Feed {
  return new Follower(url.replace(/\/+$/, ""), options);
}

class Follower implements Feed {
  readonly url: string;
  state: State = { status: "idle" };

  readonly #options: Options;
  readonly #positions: Positions;
  readonly #auto: Auto;
  readonly #timing = new Timing();
  readonly #listeners = new Set<() => void>();
  readonly #iterator: AsyncGenerator<Batch>;
  #closed = false;
  /** The connection that is open, or the pause before the next. */
  #attempt = new AbortController();

  constructor(url: string, options: Options) {
    this.url = url;
    this.#options = options;
    const { workflows, transport = "auto", signal } = options; // the server says what is wrong with the others
    if (transport !== "auto" && !ways[transport]) throw new TypeError(`transport: auto, ${Object.keys(ways).join(", ")} are accepted`);
    if (transport === "socket" && options.token) throw new TypeError("transport: a socket cannot send a token");
    this.#positions = new Positions(options);
    this.#auto = new Auto(transport, workflows.length);
    this.#iterator = this.#run();
    signal?.addEventListener("abort", () => this.close());
    if (signal?.aborted) this.close();
  }

  get workflows(): readonly string[] {
    return this.#positions.workflows;
  }

  get cursors() {
    return this.#positions.cursors;
  }

  [Symbol.asyncIterator](): AsyncIterator<Batch> {
    return {
      next: () => this.#iterator.next(),
      return: () => {
        this.close(); // so that a batch that is being waited for does not hold it up
        return this.#iterator.return(undefined);
      },
    };
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  add(workflow: string, after?: number): void {
    this.#positions.add(workflow, after);
    this.retry();
  }

  drop(workflow: string): void {
    this.#positions.drop(workflow);
    this.retry();
  }

  retry(): void {
    this.#attempt.abort(again);
  }

  close(): void {
    if (this.state.status === "ended" || this.state.status === "failed") return;
    this.#closed = true;
    this.#attempt.abort(again);
    this.#set({ status: "ended", reason: "closed" });
  }

  async headers(): Promise<Record<string, string>> {
    const { token } = this.#options;
    return token ? { Authorization: `Bearer ${await token()}` } : {};
  }

  #set(state: State): void {
    this.state = state;
    for (const listener of [...this.#listeners]) listener();
  }

  async *#run(): AsyncGenerator<Batch> {
    if (this.#closed) return;
    const leave = whenBack((checked) => {
      // What has been silent for as long as a heartbeat may be broken; a connection from before a pause of the page is.
      if (!checked || this.state.status === "waiting" || this.#timing.silent()) this.retry();
      if (!checked) this.#auto.reset();
    });
    try {
      await this.#positions.load();
      let refused = false; // the last token was
      let pauses = 0; // since the last batch
      while (!this.#closed) {
        this.#attempt = new AbortController();
        let error: FeedError;
        try {
          for await (const batch of this.#connection()) {
            refused = false;
            pauses = 0;
            yield batch;
            this.#positions.rendered(batch);
            if (batch.final) {
              this.#set({ status: "ended", reason: "final" });
              return;
            }
          }
          error = new FeedError("unavailable", "the connection has ended");
        } catch (reason) {
          if (this.#closed) return;
          if (reason === again) continue;
          error = feedError(reason);
        }
        const denied = error.code === "unauthenticated";
        if (denied && this.#options.token && !refused) {
          refused = true; // the next connection asks for another token
          continue;
        }
        if (denied || (error.fatal && !(error.foreign && this.#auto.more))) {
          this.#set({ status: "failed", code: error.code, reason: error.message });
          throw error;
        }
        if (await this.#auto.failed(error, () => this.#probe())) continue;
        if (this.#closed) return;
        await this.#pause(pauses++, error);
      }
    } finally {
      leave();
      this.close();
    }
  }

  /** Opens a connection and returns the batches that have something new. */
  async *#connection(): AsyncGenerator<Batch> {
    const attempt = this.#attempt;
    const timing = this.#timing;
    const auto = this.#auto;
    const transport = auto.begin();
    this.#set({ status: "connecting", transport });
    const request = await this.#request();
    if (attempt.signal.aborted) throw again;
    auto.watch(attempt, () => this.#probe());
    try {
      let was: boolean | undefined; // up to date
      timing.watch(attempt);
      for await (const batch of ways[transport](request)) {
        timing.stop();
        auto.delivered();
        const items = this.#positions.fresh(batch.items);
        const empty = !items.length && !batch.gone.length && !batch.anew.length;
        if (batch.upToDate) {
          if (this.state.status !== "live") this.#set({ status: "live", transport });
        } else {
          const away = empty && !!was;
          if (this.state.status !== "catching-up" || (away && !this.state.away)) this.#set({ status: "catching-up", transport, away });
        }
        if (!empty || batch.final || batch.upToDate !== was) yield { ...batch, items };
        was = batch.upToDate;
        timing.watch(attempt);
      }
    } catch (error) {
      throw attempt.signal.aborted ? attempt.signal.reason : error; // a stream that is aborted may say so in other words
    } finally {
      timing.stop();
      auto.unwatch();
      attempt.abort(again);
    }
  }

  async #request(): Promise<Request> {
    const headers = await this.headers().catch((error) => {
      throw new FeedError("unavailable", `there is no token: ${error?.message ?? error}`);
    });
    const { url, workflows, cursors } = this;
    const { last, types } = this.#options;
    return { url, headers, workflows, cursors, last, types, signal: this.#attempt.signal, heard: () => this.#timing.heard() };
  }

  /** Reports whether a plain request gets through. */
  async #probe(): Promise<boolean> {
    if (this.#attempt.signal.aborted) this.#attempt = new AbortController();
    const ended = new AbortController();
    const end = () => ended.abort(again);
    const leave = onAbort(this.#attempt.signal, end);
    const timer = setTimeout(end, 5_000);
    try {
      await read({ ...(await this.#request()), last: 1, signal: ended.signal }, this.workflows[0]!);
      return true;
    } catch {
      return false;
    } finally {
      leave();
      clearTimeout(timer);
    }
  }

  async #pause(pauses: number, error: FeedError): Promise<void> {
    const most = Math.min(20, 0.3 * 2 ** (pauses + 1));
    const seconds = Math.max(0.3 + Math.random() * (most - 0.3), error.retryAfter * (1 + Math.random() / 4));
    this.#attempt = new AbortController();
    this.#set({ status: "waiting", reason: error.message, retryAt: Date.now() + seconds * 1000 });
    await sleep(seconds, this.#attempt.signal).catch(() => {}); // retry ends it
  }
}
