import { again } from "./again.js";
import { FeedError } from "./errors.js";
import { heartbeat } from "./timing.js";
import type { Transport } from "./types.js";

const order: readonly Transport[] = ["connect", "sse", "long-poll", "poll"];
/** How many workflows are followed by long polls, each of which is a connection. A browser has six to a server with HTTP/1.1. */
const longPolls = 3;
/** How long a transport may deliver nothing, in milliseconds, before a plain request is sent to see whether one gets through. */
const patience = 3_000;
/** The same where a better transport is tried while another works. */
const climbing = 1_000;
/** After which time a better transport is tried, the first time. */
const climb = 60_000;
const longestClimb = 16 * climb;
/** The beginnings of the codes that say nothing about a transport: unavailable and resource_exhausted. */
const passing = /^(una|res)/;

/**
 * Chooses the transport. One is left for the next only on evidence: it leads to something else than the server, or a plain
 * request gets through while it delivers nothing, twice breaks before it has delivered anything, or twice falls silent.
 */
export class Auto {
  readonly #order: readonly Transport[];
  #level = 0;
  /** Whether a better transport is being tried, while the next one is known to deliver. */
  #climbing = false;
  #has = false; // delivered something
  #begun = 0;
  #misses = 0;
  #silences = 0;
  #climbs = 0;
  #climbAt = Infinity;
  #attempt: AbortController | undefined;
  #timers: ReturnType<typeof setTimeout>[] = [];

  constructor(transport: Transport | "auto", workflows: number) {
    this.#order = transport !== "auto" ? [transport] : order.filter((way) => way !== "long-poll" || workflows <= longPolls);
  }

  /** Whether there is another transport to try. */
  get more(): boolean {
    return this.#level < this.#order.length - 1;
  }

  /** Begins with the best again: the network is another one. */
  reset(): void {
    this.#level = this.#misses = this.#silences = this.#climbs = 0;
    this.#climbing = false;
    this.#climbAt = Infinity;
  }

  /** Returns the transport of the next connection. */
  begin(): Transport {
    this.#has = false;
    this.#begun = Date.now();
    if (this.#level > 0 && this.#begun >= this.#climbAt) {
      this.#level--;
      this.#climbing = true;
      this.#climbAt = Infinity;
    }
    return this.#order[this.#level]!;
  }

  /** Watches a connection: whether it delivers, and whether it is time to try a better transport. */
  watch(attempt: AbortController, probe: () => Promise<boolean>): void {
    const check = async () => {
      if (this.#has || !(await probe()) || this.#has) return;
      attempt.abort(new FeedError("unknown", "the connection delivers nothing", 0, true));
    };
    if (this.more) this.#timers.push(setTimeout(check, this.#climbing ? climbing : patience));
    this.#attempt = attempt;
    this.#plan();
  }

  /** Plans to try a better transport. */
  #plan(): void {
    const attempt = this.#attempt;
    const climbAt = this.#climbAt;
    if (attempt && climbAt < Infinity) this.#timers.push(setTimeout(() => attempt.abort(again), climbAt - Date.now()));
  }

  unwatch(): void {
    this.#attempt = undefined;
    this.#timers.forEach(clearTimeout);
    this.#timers = [];
  }

  /** The connection has delivered something. */
  delivered(): void {
    this.#has = true;
    this.#misses = 0;
    if (this.#climbing && this.#level > 0) this.#later();
    this.#climbing = false;
    if (Date.now() - this.#begun > heartbeat / 2) this.#silences = this.#climbs = 0;
  }

  /** The connection has failed. Reports whether to go on at once, with another transport. */
  async failed(error: FeedError, probe: () => Promise<boolean>): Promise<boolean> {
    if (this.#climbing) {
      this.#climbs++;
    } else {
      if (!this.more) return false;
      if (!this.#has) this.#misses++;
      else if (error.code === "deadline_exceeded") this.#silences++;
      const wrong = error.foreign && !this.#has && !passing.test(error.code);
      if (!wrong && !((this.#misses > 1 || this.#silences > 1) && (await probe()))) return false;
    }
    this.#climbing = false;
    this.#misses = this.#silences = 0;
    this.#level++;
    this.#later();
    return true;
  }

  #later(): void {
    this.#climbAt = Date.now() + Math.min(longestClimb, climb * 2 ** this.#climbs);
    this.#plan();
  }
}
