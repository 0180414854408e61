import { createClient } from "@connectrpc/connect";
import { timestampFromDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { ChatService, cursorOf, FeedService, feedTransport, timestampOf } from "../src/connect.js";
import { Server } from "./server.js";

test("generated code follows a workflow, from a cursor of any other transport", async () => {
  const server = new Server();
  const [first, second] = [server.log("a", "one"), server.log("a", "two")];
  const client = createClient(FeedService, feedTransport("http://feed.example", { token: async () => "mine" }));
  const ended = new AbortController();
  const start = { workflowId: "a", start: { case: "after" as const, value: timestampOf(first.createdAt) } };
  const frames = client.subscribe({ cursors: [start], types: ["log"] }, { signal: ended.signal })[Symbol.asyncIterator]();
  const { items, upToDate } = (await frames.next()).value!;
  expect(items.map(({ id, item }: any) => [id, item.case, item.value.message])).toEqual([[second.item.id, "log", "two"]]);
  expect(cursorOf(items[0]!.createdAt!)).toBe(second.createdAt);
  expect(upToDate).toBe(true);
  expect(server.asked[0]!.headers.get("Authorization")).toBe("Bearer mine");
  expect(server.asked[0]!.body.cursors[0].after).toMatch(/\.201564Z$/);
  ended.abort();
  await expect(frames.next()).rejects.toThrow();
  expect(server.streams).toBe(0);
});

test("generated code calls a chat", async () => {
  const server = new Server();
  await createClient(ChatService, feedTransport("http://feed.example")).stopAnswer({ workflowId: "a" });
  expect(server.asked).toMatchObject([{ path: "/chatfeed.v1.ChatService/StopAnswer", body: { workflowId: "a" } }]);
  expect(server.asked[0]!.headers.get("Authorization")).toBe(null);
});

test("a cursor keeps its microseconds on the way to a time and back", () => {
  const begin = Number(timestampFromDate(new Date("2026-11-22T01:42:20Z")).seconds);
  for (let micros = 0; micros < 1_000_000; micros += 997) {
    const cursor = Number(`${begin}.${String(micros).padStart(6, "0")}`);
    const time = timestampOf(cursor);
    expect(time).toEqual({ seconds: BigInt(begin), nanos: micros * 1000 });
    expect(cursorOf(time as Timestamp)).toBe(cursor);
  }
});
