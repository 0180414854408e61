// Follows workflows of a real server over every transport at once. Each line of the output is an item that was rendered, with the
// transport; the last line of each is how it has ended.
import { follow } from "../dist/index.js";
import { WebSocket } from "ws";

globalThis.WebSocket ??= WebSocket; // Node has one from 22 on
const [url, ...workflows] = process.argv.slice(2);
const types = ["message", "log", "stat", "progress", "delta", "tool"];
const write = (line) => process.stdout.write(JSON.stringify(line) + "\n");

for (const transport of ["auto", "connect", "sse", "socket", "long-poll", "poll"]) {
  const feed = follow(url, { workflows, types, transport });
  void (async () => {
    try {
      for await (const { items } of feed) for (const item of items) write({ transport, item });
      write({ transport, state: feed.state, cursors: feed.cursors });
    } catch (error) {
      write({ transport, error: String(error) });
    }
  })();
}
