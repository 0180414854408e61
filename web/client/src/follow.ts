import { again } from "./again.js";
import { choose } from "./auto.js";
import { FeedError, feedError } from "./errors.js";
import { whenBack } from "./page.js";
import { track } from "./positions.js";
import { onAbort, sleep } from "./sleep.js";
import { watchdog } from "./timing.js";
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
export function follow(server: string, options: Options): Feed {
  const { workflows, transport: wanted = "auto", last, types, token, signal } = options; // the server says what is wrong with the others
  if (wanted !== "auto" && !ways[wanted]) throw new TypeError(`transport: auto, ${Object.keys(ways).join(", ")} are accepted`);
  if (wanted === "socket" && token) throw new TypeError("transport: a socket cannot send a token");
  const url = server.replace(/\/+$/, "");
  const positions = track(options);
  const auto = choose(wanted, workflows.length, probe);
  const timing = watchdog();
  const listeners = new Set<() => void>();
  const iterator = run();
  let state: State = { status: "idle" };
  /** The connection that is open, or the pause before the next. */
  let attempt = new AbortController();

  function set(next: State): void {
    state = next;
    [...listeners].forEach((listener) => listener());
  }

  const retry = () => attempt.abort(again);

  const over = () => state.status === "ended" || state.status === "failed";

  function close(): void {
    if (over()) return;
    attempt.abort(again);
    set({ status: "ended", reason: "closed" });
  }

  const headers = async (): Promise<Record<string, string>> => (token ? { Authorization: `Bearer ${await token()}` } : {});

  async function* run(): AsyncGenerator<Batch> {
    if (over()) return;
    const leave = whenBack((checked) => {
      // What has been silent for as long as a heartbeat may be broken; a connection from before a pause of the page is.
      if (!checked || state.status === "waiting" || timing.silent()) retry();
      if (!checked) auto.reset();
    });
    try {
      await positions.load();
      let refused = false; // the last token was
      let pauses = 0; // since the last batch
      let met = false; // the server has been heard
      while (!over()) {
        attempt = new AbortController();
        let error: FeedError;
        try {
          for await (const batch of connection()) {
            refused = false;
            pauses = 0;
            met = true;
            yield batch;
            positions.rendered(batch);
            if (batch.final) {
              set({ status: "ended", reason: "final" });
              return;
            }
          }
          error = new FeedError("unavailable", "the connection is closed");
        } catch (reason) {
          if (over()) return;
          if (reason === again) continue;
          error = feedError(reason);
        }
        const denied = error.code === "unauthenticated";
        if (denied && token && !refused) {
          refused = true; // the next connection asks for another token
          continue;
        }
        // Who gets something else and has never heard the server has the wrong address. Later it is what a proxy says during a restart.
        if (denied || (error.fatal && !(error.foreign && (met || auto.more())))) {
          set({ status: "failed", code: error.code, reason: error.message });
          throw error;
        }
        if (await auto.failed(error)) continue;
        if (over()) return;
        await pause(pauses++, error);
      }
    } finally {
      leave();
      close();
    }
  }

  /** Opens a connection and returns the batches that have something new. */
  async function* connection(): AsyncGenerator<Batch> {
    const current = attempt;
    const transport = auto.begin();
    set({ status: "connecting", transport });
    const asked = await request();
    if (current.signal.aborted) throw again;
    auto.watch(current);
    try {
      let was: boolean | undefined; // up to date
      timing.watch(current);
      for await (const batch of ways[transport](asked)) {
        timing.stop();
        auto.delivered();
        const items = positions.fresh(batch.items);
        const empty = !(items.length + batch.gone.length + batch.anew.length);
        if (batch.upToDate) {
          if (state.status !== "live") set({ status: "live", transport });
        } else {
          const away = empty && !!was;
          if (away || state.status !== "catching-up") set({ status: "catching-up", transport, away });
        }
        if (!empty || batch.final || batch.upToDate !== was) yield { ...batch, items };
        was = batch.upToDate;
        timing.watch(current);
      }
    } catch (error) {
      throw current.signal.aborted ? current.signal.reason : error; // a stream that is aborted may say so in other words
    } finally {
      timing.stop();
      auto.unwatch();
      current.abort(again);
    }
  }

  async function request(): Promise<Request> {
    const sent = await headers().catch((error) => {
      throw new FeedError("unavailable", `there is no token: ${error?.message ?? error}`);
    });
    const { workflows, cursors } = positions;
    return { url, headers: sent, workflows, cursors, last, types, signal: attempt.signal, heard: timing.heard };
  }

  /** Reports whether a plain request gets through. */
  async function probe(): Promise<boolean> {
    if (attempt.signal.aborted) attempt = new AbortController();
    const ended = new AbortController();
    const end = () => ended.abort();
    const leave = onAbort(attempt.signal, end);
    const timer = setTimeout(end, 5_000);
    try {
      await read({ ...(await request()), last: 1, signal: ended.signal }, positions.workflows[0]!);
      return true;
    } catch {
      return false;
    } finally {
      leave();
      clearTimeout(timer);
    }
  }

  async function pause(pauses: number, error: FeedError): Promise<void> {
    const most = Math.min(20, 0.6 * 2 ** pauses);
    const seconds = Math.max(0.3 + Math.random() * (most - 0.3), error.retryAfter * (1 + Math.random() / 4));
    attempt = new AbortController();
    set({ status: "waiting", reason: error.message, retryAt: Date.now() + seconds * 1000 });
    await sleep(seconds, attempt.signal).catch(() => {}); // retry ends it
  }

  signal?.addEventListener("abort", close);
  if (signal?.aborted) close();
  return {
    url,
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
      return() {
        close(); // so that a batch that is being waited for does not hold it up
        return iterator.return(undefined);
      },
    }),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    add(workflow, after) {
      positions.add(workflow, after);
      retry();
    },
    drop(workflow) {
      positions.drop(workflow);
      retry();
    },
    retry,
    close,
    headers,
  };
}
