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
const climbPatience = 1_000;
/** After which time a better transport is tried, the first time. */
const climb = 60_000;
/** How often that time is doubled at most. */
const doublings = 4;
/** The beginnings of the codes that say nothing about a transport: unavailable and resource_exhausted. */
const passing = /^(una|res)/;

/**
 * Chooses the transport. One is left for the next only on evidence: it leads to something else than the server, or a plain
 * request gets through while it delivers nothing, twice breaks before it has delivered anything, or twice falls silent. `probe` reports
 * whether a plain request gets through.
 */
export function choose(transport: Transport | "auto", workflows: number, probe: () => Promise<boolean>) {
  const ways: readonly Transport[] = transport !== "auto" ? [transport] : order.filter((way) => way !== "long-poll" || workflows <= longPolls);
  let level = 0;
  /** Whether a better transport is being tried, while the next one is known to deliver. */
  let climbing = false;
  let has = false; // delivered something
  let begun = 0;
  let misses = 0;
  let silences = 0;
  let climbs = 0;
  let climbAt = Infinity;
  let attempt: AbortController | undefined;
  let timers: ReturnType<typeof setTimeout>[] = [];

  /** Whether there is another transport to try. */
  const more = () => level < ways.length - 1;
  /** Plans to try a better transport. */
  const plan = () => {
    if (attempt && climbAt < Infinity) timers.push(setTimeout((current: AbortController) => current.abort(again), climbAt - Date.now(), attempt));
  };
  const later = () => {
    climbAt = Date.now() + climb * 2 ** Math.min(doublings, climbs);
    plan();
  };

  return {
    more,

    /** Begins with the best again: the network is another one. */
    reset(): void {
      level = misses = silences = climbs = 0;
      climbing = false;
      climbAt = Infinity;
    },

    /** Returns the transport of the next connection. */
    begin(): Transport {
      has = false;
      begun = Date.now();
      if (level > 0 && begun >= climbAt) {
        level--;
        climbing = true;
        climbAt = Infinity;
      }
      return ways[level]!;
    },

    /** Watches a connection: whether it delivers, and whether it is time to try a better transport. */
    watch(current: AbortController): void {
      const check = async () => {
        if (has || !(await probe()) || has) return;
        current.abort(new FeedError("unknown", "the connection is stuck", 0, true));
      };
      if (more()) timers.push(setTimeout(check, climbing ? climbPatience : patience));
      attempt = current;
      plan();
    },

    unwatch(): void {
      attempt = undefined;
      timers.forEach(clearTimeout);
      timers = [];
    },

    /** The connection has delivered something. */
    delivered(): void {
      has = true;
      misses = 0;
      if (climbing && level > 0) later();
      climbing = false;
      if (Date.now() - begun > heartbeat / 2) silences = climbs = 0;
    },

    /** The connection has failed. Reports whether to go on at once, with another transport. */
    async failed(error: FeedError): Promise<boolean> {
      if (climbing) {
        climbs++;
      } else {
        if (!more()) return false;
        if (!has) misses++;
        else if (error.code === "deadline_exceeded") silences++;
        const wrong = error.foreign && !has && !passing.test(error.code);
        if (!wrong && !((misses > 1 || silences > 1) && (await probe()))) return false;
      }
      climbing = false;
      misses = silences = 0;
      level++;
      later();
      return true;
    },
  };
}
