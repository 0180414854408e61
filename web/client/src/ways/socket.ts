import { FeedError, parse, told, unreachable } from "../errors.js";
import type { Batch } from "../types.js";
import { onAbort } from "../sleep.js";
import { batch, start, type Request } from "./way.js";

/** How many characters may wait to be rendered. A socket cannot be read slower, so beyond this it is closed, and opened again from the cursors. */
const most = 4 << 20;

/** A WebSocket. Its server keeps it open after the end, so the iteration ends with `final`. */
export async function* socket(request: Request): AsyncGenerator<Batch> {
  const address = new URL(request.url + "/socket", globalThis.location?.href);
  address.protocol = address.protocol.replace("http", "ws");
  const conn = new WebSocket(address, "chatfeed.v1.json");
  let waiting: unknown[] = []; // messages, and why no more come
  let size = 0;
  let wake = () => {};
  const stop = (reason: unknown) => {
    waiting.push(reason);
    conn.close();
    wake();
  };

  conn.onopen = () => {
    const subscribe = request.workflows.map((workflow) => ({ workflow, ...start(request, workflow) }));
    conn.send(JSON.stringify({ id: "1", types: request.types, subscribe }));
  };
  conn.onmessage = ({ data }) => {
    request.heard();
    waiting.push(data);
    size += data.length;
    if (size > most) stop(new FeedError("unavailable", "the page is slow"));
    wake();
  };
  conn.onclose = ({ code, reason }) => stop(new FeedError(code === 3000 ? "unauthenticated" : "unavailable", reason || unreachable));
  const leave = onAbort(request.signal, () => {
    waiting = [];
    stop(request.signal.reason);
  });
  try {
    let begun = false;
    for (;;) {
      const next = waiting.shift();
      if (typeof next === "string") {
        size -= next.length;
        const message = parse(next);
        if (message.error) throw told(message.error);
        if (begun) yield batch(message);
        begun ||= message.ack !== undefined; // what comes before the answer is not of what was asked for
      } else if (next) {
        throw next;
      } else {
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  } finally {
    leave();
    conn.close();
  }
}
