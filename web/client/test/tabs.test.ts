import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { share, type SharedOptions } from "../src/tabs.js";
import { Browser } from "./browser.js";
import { pass, Reader, settle } from "./help.js";
import { Server } from "./server.js";

let server: Server;
let browser: Browser;
const tabs: Reader[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
  browser = new Browser();
});

afterEach(async () => {
  for (const tab of tabs.splice(0)) tab.feed.close();
  await pass(20);
  expect(vi.getTimerCount(), "timers that are left").toBe(0);
  expect(server.streams, "streams that are left open").toBe(0);
  expect(browser.listening, "channels that are left open").toBe(0);
  vi.useRealTimers();
});

const open = (options: Partial<SharedOptions> = {}) => {
  const tab = new Reader(share("http://feed.example", { name: "me", workflows: ["a"], ...options }));
  tabs.push(tab);
  return tab;
};
const upTo = (count: number) => Array.from({ length: count }, (_, n) => `${n}`);

test("one tab is a feed with one connection", async () => {
  server.log("a", "0");
  const tab = open();
  await pass(100);
  server.log("a", "1");
  await pass(100);
  expect(tab.texts).toEqual(["0", "1"]);
  expect(tab.feed.state).toEqual({ status: "live", transport: "connect" });
  expect(server.asked).toHaveLength(1);
});

test("two tabs show the same by one connection, wherever each begins", async () => {
  for (let n = 0; n < 5; n++) server.log("a", `${n}`);
  const first = open();
  await pass(100);
  const second = open({ last: 2 });
  await pass(100);
  expect(second.texts).toEqual(["3", "4"]);
  server.log("a", "5");
  await pass(100);
  expect(first.texts).toEqual(upTo(6));
  expect(second.texts).toEqual(["3", "4", "5"]);
  expect(second.feed.state).toEqual(first.feed.state);
  expect(second.feed.cursors).toEqual(first.feed.cursors);
  expect(server.streams).toBe(1);
});

test("when the tab that reads is closed, the next goes on, and nothing is lost or repeated", async () => {
  const all = [open(), open(), open()];
  let n = 0;
  for (const closing of [0, 1]) {
    for (let i = 0; i < 30; i++) {
      server.log("a", `${n++}`);
      if (i === 15) all[closing]!.feed.close();
      if (i % 7 === 0) server.cut();
      await pass(i % 3 ? 1 : 400);
    }
  }
  await pass(30_000);
  expect(all[2]!.texts).toEqual(upTo(n));
  for (const tab of all) expect(tab.texts).toEqual(upTo(tab.texts.length));
  expect(server.streams).toBe(1);
});

test("a tab to which notes of the others do not get through reads what it has missed", async () => {
  const [first, second] = [open(), open()];
  await pass(100);
  browser.lose = (note) => note.batch?.items.some(({ item }: any) => item.message === "1");
  for (const text of upTo(3)) {
    server.log("a", text);
    await pass(100);
  }
  expect(first.texts).toEqual(upTo(3));
  expect(second.texts).toEqual(upTo(3));
  expect(server.streams).toBe(1);
});

test("a tab that renders slowly delays no other, and loses nothing", async () => {
  const [first, second] = [open(), open()];
  await pass(100);
  let release = () => {};
  first.hold = new Promise((resolve) => (release = resolve));
  for (let n = 0; n <= 6_000; n++) {
    server.log("a", `${n}`);
    if (n % 2_000 === 0) await pass(100);
  }
  expect(second.texts).toEqual(upTo(6_001));
  expect(first.texts.length).toBeLessThan(6_001);
  first.hold = undefined;
  release();
  await pass(1_000);
  expect(first.texts).toEqual(upTo(6_001));
  expect(server.asked).toHaveLength(3); // for all, for the second at first, and for what the first has not kept
});

test("a history is not read faster than it is rendered", async () => {
  server.fault = () => ({ piece: (piece, n) => (n < 100 && server.log("a", "more"), [piece]) }); // there is more
  const tab = open();
  tab.hold = new Promise(() => {});
  await pass(1_000);
  expect(tab.batches).toHaveLength(1);
  expect(server.taken).toBeLessThanOrEqual(2);
});

test("a tab that holds the lock and does not answer is replaced", async () => {
  const frozen = new Browser();
  browser = frozen;
  const tab = open();
  await pass(100);
  const [name] = frozen.names;
  tab.feed.close();
  await pass(100);
  void frozen.request(name!, {}, () => new Promise(() => {})).catch(() => {});
  const next = open();
  await pass(100);
  server.log("a", "0");
  await pass(21_000);
  expect(next.texts).toEqual(["0"]);
  expect(server.streams).toBe(1);
});

test("a tab that was frozen reads no more when it comes back, and shows all the same", async () => {
  const [first, second] = [open(), open()];
  await pass(100);
  browser.lose = () => true;
  await pass(21_000); // the second has heard nothing
  browser.lose = () => false;
  server.log("a", "0");
  await pass(1_000);
  expect(first.texts).toEqual(["0"]);
  expect(second.texts).toEqual(["0"]);
  expect(server.streams).toBe(1);
});

test("erasures, new histories and the end are for all tabs", async () => {
  const both = [open(), open()];
  await pass(100);
  const item = server.log("a", "0");
  await pass(100);
  const gone = { workflowId: "a", type: "log", id: item.item.id, _createdAt: item.createdAt };
  server.tell({ gone: [gone], anew: ["a"] });
  await pass(100);
  for (const tab of both) {
    expect(tab.batches.flatMap(({ gone }) => gone)).toEqual([gone]);
    expect(tab.batches.flatMap(({ anew }) => anew)).toEqual(["a"]);
    expect(tab.feed.cursors).toEqual({ a: 0 });
  }
  server.close();
  await pass(1_000);
  for (const tab of both) expect([tab.ended, tab.error, tab.feed.state]).toEqual([true, undefined, { status: "ended", reason: "final" }]);
});

test("what the server refuses ends each tab with the reason", async () => {
  const both = [open(), open()];
  await pass(100);
  server.fault = () => ({ answer: () => Response.json({ code: "permission_denied", message: "not yours" }, { status: 403 }) });
  server.cut();
  await pass(30_000);
  for (const tab of both) expect([tab.error, tab.feed.state]).toMatchObject([{ code: "permission_denied" }, { status: "failed", reason: "not yours" }]);
});

test("a server that refuses is not asked again while the tab still renders what came before", async () => {
  const tab = open();
  await pass(100);
  tab.hold = new Promise(() => {});
  server.log("a", "0");
  await pass(100);
  server.fault = () => ({ answer: () => Response.json({ code: "permission_denied", message: "not yours" }, { status: 403 }) });
  server.cut();
  await pass(30_000);
  expect(server.asked).toHaveLength(2);
});

test("while the server is away, all tabs say so, and each can end the pause", async () => {
  const both = [open(), open()];
  await pass(100);
  server.fault = () => ({ refuse: true });
  server.cut();
  await pass(120_000);
  for (const tab of both) expect(tab.feed.state).toMatchObject({ status: "waiting", reason: "the server cannot be reached" });
  server.fault = () => undefined;
  both[1]!.feed.retry();
  await pass(10);
  for (const tab of both) expect(tab.feed.state.status).toBe("live");
});

test("only those share who have the same name, workflows and types", async () => {
  for (const options of [{}, { name: "you" }, { workflows: ["a", "b"] }, { types: ["log"] as const }]) open(options);
  await pass(100);
  expect(server.streams).toBe(4);
});

test("without locks, each has a connection of its own", async () => {
  vi.stubGlobal("navigator", {});
  const both = [open(), open()];
  await pass(100);
  server.log("a", "0");
  await pass(100);
  expect(both.map(({ texts }) => texts)).toEqual([["0"], ["0"]]);
  expect(server.streams).toBe(2);
});
