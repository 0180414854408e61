import { FeedError } from "./errors.js";

/** How often the server sends something, in milliseconds. */
export const heartbeat = 15_000;
const limit = 2.5 * heartbeat;

/** The watchdog of a connection: one on which nothing comes for two and a half heartbeats is broken, whatever TCP says. */
export function watchdog() {
  let last = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  return {
    /** Something has come. */
    heard(): void {
      last = Date.now();
    },

    /** Whether a heartbeat is missing. A timer may be late, as those of a page in the background are. */
    silent: () => timer !== undefined && Date.now() - last > 1.2 * heartbeat,

    /** Aborts an attempt when nothing comes from now on. */
    watch(attempt: AbortController): void {
      last = Date.now();
      const check = () => {
        const left = last + limit - Date.now();
        if (left > 0) timer = setTimeout(check, left);
        else attempt.abort(new FeedError("deadline_exceeded", "the connection is silent"));
      };
      check();
    },

    /** Nothing is being waited for. */
    stop(): void {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
