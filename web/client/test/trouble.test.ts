import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { follow, FeedError, sessionCursor, type Options, type Transport } from "../src/index.js";
import { pass, Reader, settle } from "./help.js";
import { envelope, Server } from "./server.js";

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
  vi.useRealTimers();
});

const read = (options: Partial<Options> = {}) => {
  const reader = new Reader(follow("http://feed.example", { workflows: ["a"], ...options }));
  readers.push(reader);
  return reader;
};
const refused = (status: number, code: string, headers: Record<string, string> = {}) =>
  Response.json({ code, message: `it is ${code}` }, { status, headers });
const connectEnd = (code: string, metadata = {}) =>
  new Response(envelope(JSON.stringify({ error: { code, message: `it is ${code}` }, metadata }), 2) as BodyInit, { headers: { "Content-Type": "application/connect+json" } });

describe.each(["connect", "sse", "socket"] as Transport[])("%s", (transport) => {
  test("a connection that is cut at any byte loses and repeats nothing", async () => {
    let length = 2_000;
    for (let n = 0; n < 6; n++) server.log("a", `item ${n}: Zoë 👋🏽`);
    for (let at = 0; at < length; at += 7) {
      let cut = transport !== "socket" || at === 0; // a socket's messages are whole
      server.fault = () => ({
        piece: (piece) => {
          length = Math.max(piece.length, at);
          if (!cut) return transport === "socket" ? [piece] : [piece.slice(0, 3), piece.slice(3)];
          cut = false;
          return transport === "socket" ? ["cut"] : [piece.slice(0, at), "cut"];
        },
      });
      const reader = read({ transport });
      await pass(2_000);
      expect(reader.texts, `cut at ${at}`).toEqual(Array.from({ length: 6 }, (_, n) => `item ${n}: Zoë 👋🏽`));
      reader.feed.close();
    }
    expect(length).toBeGreaterThan(500);
  });

  test("what comes twice is delivered once", async () => {
    server.fault = () => ({ piece: (piece) => [piece, piece] });
    const reader = read({ transport });
    await settle();
    server.log("a", "one");
    server.log("a", "two");
    await settle();
    expect(reader.texts).toEqual(["one", "two"]);
  });

  test("an item that is older than the cursor is delivered, as after a failover it may be new", async () => {
    const reader = read({ transport, after: 1795399999 });
    await settle();
    const item = { type: "log", createdAt: 1795311746.5, item: { id: "x", workflowId: "a", level: "", message: "older", _createdAt: 1795311746.5 } };
    server.tell({ items: [item] } as any);
    await settle();
    expect(reader.items).toEqual([item]);
    expect(reader.feed.cursors).toEqual({ a: 1795311746.5 });
  });

  test("garbage is survived", async () => {
    let garbage = true;
    const noise = new TextEncoder().encode("event: log\ndata: {\"type\": \n\n".repeat(3));
    server.fault = () => ({ piece: (piece, n) => (garbage && n === 1 ? [noise] : [piece]) });
    const reader = read({ transport });
    await settle();
    server.log("a", "one");
    await settle();
    garbage = false;
    await pass(1_000);
    server.log("a", "two");
    await settle();
    expect(reader.texts).toEqual(["one", "two"]);
  });
});

test("nothing is read from the network while a batch is being rendered", async () => {
  for (const transport of ["connect", "sse", "long-poll", "poll"] as const) {
    server = new Server();
    const reader = read({ transport });
    await settle();
    let release = () => {};
    reader.hold = new Promise((resolve) => (release = resolve));
    server.log("a", "0");
    await pass(6_000);
    expect(reader.texts).toEqual(["0"]);
    const [taken, asked] = [server.taken, server.asked.length];
    for (let n = 1; n < 50; n++) {
      server.log("a", `${n}`);
      await pass(1_000);
    }
    expect(server.taken - taken, transport).toBeLessThanOrEqual(1);
    expect(server.asked.length - asked, transport).toBeLessThanOrEqual(1);
    reader.hold = undefined;
    release();
    await pass(10_000);
    expect(reader.texts).toEqual(Array.from({ length: 50 }, (_, n) => `${n}`));
    reader.feed.close();
  }
});

test("a socket, which cannot be read slower, is closed when too much waits, and nothing is lost", async () => {
  const reader = read({ transport: "socket" });
  await settle();
  let release = () => {};
  reader.hold = new Promise((resolve) => (release = resolve));
  const large = "x".repeat(1 << 20);
  for (let n = 0; n < 8; n++) {
    server.log("a", `${n} ${large}`);
    await settle();
  }
  expect(server.streams).toBe(0);
  reader.hold = undefined;
  release();
  await pass(5_000);
  expect(reader.texts.map((text) => text[0])).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"]);
});

test("a cursor counts, and is kept, when its batch was rendered", async () => {
  const kept: object[] = [];
  let release = () => {};
  const reader = read({ after: { get: () => ({ a: 1795311000.5 }), set: (cursors) => kept.push(cursors) } });
  reader.hold = new Promise((resolve) => (release = resolve));
  await settle();
  release();
  await settle();
  reader.hold = new Promise((resolve) => (release = resolve));
  const item = server.log("a", "one");
  await settle();
  expect(reader.texts).toEqual(["one"]);
  expect(kept).toEqual([]);
  expect(reader.feed.cursors).toEqual({ a: 1795311000.5 });
  server.cut(); // while it is being rendered
  await settle();
  release();
  await pass(700);
  expect(kept).toEqual([{ a: item.createdAt }]);
  expect(server.asked.at(-1)!.body.cursors[0].after).toBe("2026-11-22T01:42:26.201564Z");
  expect(reader.texts).toEqual(["one"]);
});

test("the session keeps cursors", async () => {
  const session = new Map<string, string>();
  vi.stubGlobal("sessionStorage", { getItem: (key: string) => session.get(key) ?? null, setItem: (key: string, value: string) => session.set(key, value) });
  server.log("a", "one");
  const reader = read({ after: sessionCursor("mine") });
  await settle();
  expect(reader.texts).toEqual(["one"]);
  reader.feed.close();
  server.log("a", "two");
  const again = read({ after: sessionCursor("mine") });
  await settle();
  expect(again.texts).toEqual(["two"]);
  vi.stubGlobal("sessionStorage", { getItem: () => "{", setItem: () => { throw new Error("full"); } });
  const third = read({ after: sessionCursor("mine") });
  await settle();
  expect(third.texts).toEqual(["one", "two"]);
});

test("pauses are 0.3 to 20 seconds, at random, and are short again after a batch", async () => {
  server.fault = () => ({ refuse: true });
  const reader = read();
  const pauses: number[] = [];
  reader.feed.subscribe(() => {
    if (reader.feed.state.status === "waiting") pauses.push((reader.feed.state.retryAt - Date.now()) / 1000);
  });
  await pass(10 * 60_000);
  expect(pauses.length).toBeGreaterThan(20);
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(0.3);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(20);
  expect(Math.max(...pauses)).toBeGreaterThan(10);
  expect(new Set(pauses).size).toBe(pauses.length);
  server.fault = () => undefined;
  await pass(20_000);
  pauses.length = 0;
  server.cut();
  await settle();
  expect(pauses[0]).toBeLessThanOrEqual(0.6);
});

test("a server that asks for a pause is given it", async () => {
  for (const [transport, answer] of [
    ["connect", () => connectEnd("resource_exhausted", { "retry-after": ["7"] })],
    ["connect", () => refused(429, "resource_exhausted", { "Retry-After": "7" })],
    ["sse", () => refused(429, "resource_exhausted", { "Retry-After": "7" })],
    ["sse", () => new Response('retry: 7000\n\nevent: end\ndata: {"code": "resource_exhausted", "message": "busy"}\n\n', { headers: { "Content-Type": "text/event-stream" } })],
    ["poll", () => refused(429, "resource_exhausted", { "Retry-After": "7" })],
  ] as const) {
    server = new Server();
    server.fault = () => ({ answer });
    const reader = read({ transport });
    await pass(6_990);
    expect(server.asked, transport).toHaveLength(1);
    await pass(2_000);
    expect(server.asked, transport).toHaveLength(2);
    reader.feed.close();
  }
});

test("a server that is not chatfeed is an error, unless it has been one before", async () => {
  const page = () => new Response("<!doctype html>", { headers: { "Content-Type": "text/html" } });
  server.fault = () => ({ answer: page });
  const stranger = read({});
  await pass(1_000);
  expect(stranger.feed.state).toMatchObject({ status: "failed", code: "unimplemented", reason: "the answer is not from a chatfeed server (HTTP 200)" });
  expect(server.asked.map((asked) => asked.transport)).toEqual(["connect", "sse", "chatData", "chatData"]);

  server.fault = () => undefined;
  const reader = read({});
  await settle();
  server.log("a", "one");
  await settle();
  for (const status of [200, 403, 404, 502]) {
    server.fault = () => ({ answer: () => new Response("<!doctype html>", { status, headers: { "Content-Type": "text/html" } }) });
    server.cut();
    await pass(60_000);
    expect(reader.feed.state.status, `${status}`).toBe("waiting");
  }
  server.fault = () => undefined;
  server.log("a", "two");
  await pass(30_000);
  expect(reader.texts).toEqual(["one", "two"]);
});

test("a token is asked for before each connection, and once more when it is refused", async () => {
  let token = 0;
  let good = 1;
  server.fault = ({ headers }) => (headers.get("Authorization") === `Bearer ${good}` ? undefined : { answer: () => connectEnd("unauthenticated") });
  const reader = read({ token: () => `${++token}` });
  await settle();
  expect(reader.feed.state.status).toBe("live");
  good = 3;
  server.cut();
  await pass(1_000);
  expect(token).toBe(3); // 2 was refused, and 3 was asked for at once
  expect(reader.feed.state.status).toBe("live");
  good = 0;
  server.cut();
  await pass(1_000);
  expect(token).toBe(5);
  expect(reader.error).toMatchObject({ code: "unauthenticated" });
  expect(reader.feed.state).toEqual({ status: "failed", code: "unauthenticated", reason: "it is unauthenticated" });
});

test("a token that cannot be had is waited for", async () => {
  let fails = true;
  const reader = read({ token: async () => { if (fails) throw new Error("no session"); return "t"; } });
  await settle();
  expect(reader.feed.state).toMatchObject({ status: "waiting", reason: "there is no token: no session" });
  fails = false;
  await pass(1_000);
  expect(reader.feed.state.status).toBe("live");
});

test.each([
  ["connect", () => connectEnd("invalid_argument")],
  ["sse", () => refused(400, "invalid_argument")],
  ["long-poll", () => refused(403, "permission_denied")],
  ["auto", () => connectEnd("invalid_argument")],
  ["auto", () => new Response("nothing here", { status: 404 })],
] as const)("what can never succeed ends the feed with a reason (%s)", async (transport, answer) => {
  server.fault = () => ({ answer });
  const reader = read({ transport });
  await pass(1_000);
  expect(reader.error).toBeInstanceOf(FeedError);
  expect(reader.feed.state).toMatchObject({ status: "failed", code: (reader.error as FeedError).code, reason: (reader.error as FeedError).message });
});

test("what is refused of a socket ends the feed, too", async () => {
  const reader = read({ transport: "socket" });
  server.fault = () => ({ piece: () => [new TextEncoder().encode('{"ack": "1", "error": {"code": "invalid_argument", "message": "no"}}')] });
  await settle();
  expect(reader.feed.state).toEqual({ status: "failed", code: "invalid_argument", reason: "no" });
});

test("workflows are added and dropped", async () => {
  server.log("a", "a1");
  server.log("b", "b1");
  const reader = read();
  await settle();
  reader.feed.add("b");
  await settle();
  expect(reader.texts).toEqual(["a1", "b1"]);
  reader.feed.drop("a");
  await settle();
  server.log("a", "a2");
  server.log("b", "b2");
  await settle();
  expect(reader.texts).toEqual(["a1", "b1", "b2"]);
  expect(reader.feed.workflows).toEqual(["b"]);
  expect(Object.keys(reader.feed.cursors)).toEqual(["b"]);
});

test("options that make no sense are refused by name", () => {
  for (const [options, message] of [
    [{ transport: "carrier pigeon" as Transport }, "auto, connect"],
    [{ transport: "socket", token: () => "t" }, "cannot send a token"],
  ] as [Partial<Options>, string][]) {
    expect(() => follow("", { workflows: ["a"], ...options })).toThrow(message);
  }
});

test("a signal closes the feed", async () => {
  const controller = new AbortController();
  const reader = read({ signal: controller.signal });
  await settle();
  controller.abort();
  await settle();
  expect(reader.ended).toBe(true);
  expect(reader.error).toBeUndefined();
  expect(server.streams).toBe(0);
});
