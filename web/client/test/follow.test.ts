import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { follow, type Transport } from "../src/index.js";
import { pass, Reader, settle } from "./help.js";
import { Server } from "./server.js";

let server: Server;
const readers: Reader[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
});

afterEach(async () => {
  for (const reader of readers.splice(0)) reader.feed.close();
  await settle();
  expect(vi.getTimerCount(), "timers that are left").toBe(0);
  expect(server.streams, "streams that are left open").toBe(0);
  vi.useRealTimers();
});

const read = (...options: Parameters<typeof follow>) => {
  const reader = new Reader(follow(...options));
  readers.push(reader);
  return reader;
};

const transports: Transport[] = ["connect", "sse", "socket", "long-poll", "poll"];
const url = "http://feed.example";

describe.each(transports)("%s", (transport) => {
  test("delivers what there is and what comes, in one shape", async () => {
    const first = [server.log("a", "one"), server.write("b", "tool", { callId: "c", messageId: "", name: "n", state: "s", input: { x: [1] }, output: null, error: "" })];
    const reader = read(url, { workflows: ["a", "b"], transport, types: ["log", "tool"] });
    await settle();
    expect(reader.items).toEqual(first);
    expect(reader.feed.state).toEqual({ status: "live", transport });
    const next = server.log("a", "two");
    await pass(6_000);
    expect(reader.items).toEqual([...first, next]);
    expect(reader.feed.cursors).toEqual({ a: next.createdAt, b: first[1]!.createdAt });
  });

  test("loses and repeats nothing while connections break", async () => {
    const reader = read(url, { workflows: ["a"], transport });
    const want: string[] = [];
    for (let n = 0; n < 20; n++) {
      want.push(`${n}`);
      server.log("a", `${n}`);
      if (n % 3 === 0) server.cut();
      await pass(n % 2 ? 50 : 7_000);
    }
    await pass(20_000);
    expect(reader.texts).toEqual(want);
  });

  test("begins with the last items, and goes on from where those end", async () => {
    for (let n = 0; n < 5; n++) server.log("a", `${n}`);
    const reader = read(url, { workflows: ["a", "empty"], transport, last: 2 });
    await settle();
    expect(reader.texts).toEqual(["3", "4"]);
    server.cut();
    server.log("empty", "x");
    server.log("empty", "y");
    server.log("empty", "z");
    server.log("a", "5");
    await pass(10_000);
    expect(reader.texts.sort()).toEqual(["3", "4", "5", "x", "y", "z"]);
  });

  test("ends when all workflows are closed", async () => {
    server.log("a", "one");
    const reader = read(url, { workflows: ["a"], transport });
    await settle();
    server.log("a", "last");
    server.close();
    await pass(40_000);
    expect(reader.texts).toEqual(["one", "last"]);
    expect(reader.ended).toBe(true);
    expect(reader.error).toBeUndefined();
    expect(reader.feed.state).toEqual({ status: "ended", reason: "final" });
  });

  test("ends by close, also while it waits", async () => {
    const reader = read(url, { workflows: ["a"], transport });
    await settle();
    reader.feed.close();
    await settle();
    expect(reader.ended).toBe(true);
    expect(reader.feed.state).toEqual({ status: "ended", reason: "closed" });
  });

  test("comes back after a server that is away", async () => {
    let away = true;
    server.fault = () => (away ? { refuse: true } : undefined);
    server.log("a", "one");
    const reader = read(url, { workflows: ["a"], transport });
    await pass(200);
    expect(reader.feed.state).toMatchObject({ status: "waiting", reason: "the server cannot be reached" });
    away = false;
    await pass(25_000);
    expect(reader.texts).toEqual(["one"]);
  });

  test("sends the same cursor again while nothing has come", async () => {
    server.log("a", "one");
    let broken = true;
    server.fault = () => (broken ? { piece: () => ["cut"], ...(transport.endsWith("poll") && { refuse: true }) } : undefined);
    const reader = read(url, { workflows: ["a"], transport, after: 1795311740.5 });
    await pass(60_000);
    expect(server.asked.length).toBeGreaterThan(3);
    const cursors = server.asked.map(({ query, body }) => body?.cursors?.[0].after ?? body?.subscribe?.[0].after ?? query.get("after") ?? query.get("afterTimestamp"));
    expect(new Set(cursors).size).toBe(1);
    expect(String(cursors[0])).toMatch(transport === "connect" ? "2026-11-22T01:42:20.500000Z" : "1795311740.5");
    broken = false;
    await pass(30_000);
    expect(reader.texts).toEqual(["one"]);
  });
});

describe.each(["connect", "sse", "socket"] as const)("%s", (transport) => {
  test("passes on erasures before what follows", async () => {
    const item = server.log("a", "one");
    const reader = read(url, { workflows: ["a"], transport });
    await settle();
    const gone = { workflowId: "a", type: "log", id: item.item.id, _createdAt: item.createdAt };
    server.tell({ gone: [gone], anew: ["a"] });
    await settle();
    const told = reader.batches.slice(-3).flatMap(({ gone, anew }) => [...gone, ...anew]); // all at once or one after the other
    expect(told).toEqual([gone, "a"]);
    expect(reader.feed.cursors).toEqual({ a: 0 });
  });

  test("says when the server cannot reach its database", async () => {
    const reader = read(url, { workflows: ["a"], transport });
    await settle();
    server.tell({ upToDate: false });
    await settle();
    expect(reader.feed.state).toEqual({ status: "catching-up", transport, away: true });
    expect(reader.batches.at(-1)!.upToDate).toBe(false);
    server.tell({ upToDate: true });
    await settle();
    expect(reader.feed.state).toEqual({ status: "live", transport });
  });

  test("leaves a connection on which nothing comes for two and a half heartbeats", async () => {
    const reader = read(url, { workflows: ["a"], transport });
    await pass(60_010);
    expect(server.asked).toHaveLength(1); // heartbeats keep it
    server.heartbeat = 1e9;
    await pass(15_100); // the last heartbeat
    await pass(37_300);
    expect(server.asked).toHaveLength(1);
    server.log("a", "one");
    await pass(200);
    expect(reader.texts).toEqual(["one"]);
    await pass(37_400);
    expect(server.asked).toHaveLength(1);
    await pass(1_000);
    expect(server.asked).toHaveLength(2);
  });
});
