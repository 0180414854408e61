import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { follow } from "../src/index.js";
import { pass, Reader, settle } from "./help.js";
import { Server, type Asked } from "./server.js";

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

const read = (...workflows: string[]) => {
  const reader = new Reader(follow("http://feed.example", { workflows }));
  readers.push(reader);
  return reader;
};
const ways = () => [...new Set(server.asked.map(({ transport }) => transport))];
const streams = ({ transport }: Asked) => transport === "connect" || transport === "sse";
const html = (status: number) => new Response("<h1>no</h1>", { status, headers: { "Content-Type": "text/html" } });

test("auto begins with Connect and stays with it", async () => {
  const reader = read("a");
  await pass(10 * 60_000);
  expect(ways()).toEqual(["connect"]);
  expect(reader.feed.state).toEqual({ status: "live", transport: "connect" });
});

test("behind a proxy that buffers, items come by the long poll, after a few seconds", async () => {
  server.fault = (asked) => (streams(asked) ? { buffer: true } : undefined);
  server.log("a", "one");
  const reader = read("a");
  await pass(7_000);
  expect(reader.texts).toEqual(["one"]);
  expect(reader.feed.state).toEqual({ status: "live", transport: "long-poll" });
  server.log("a", "two");
  await settle();
  expect(reader.texts).toEqual(["one", "two"]);
});

test("a proxy that holds back even the head of an answer is the same", async () => {
  server.fault = (asked) => (streams(asked) ? { hang: true } : undefined);
  server.log("a", "one");
  const reader = read("a");
  await pass(7_000);
  expect(reader.texts).toEqual(["one"]);
});

test("many workflows are polled rather than each have a connection of its own", async () => {
  server.fault = (asked) => (streams(asked) ? { buffer: true } : undefined);
  const reader = read("a", "b", "c", "d");
  await pass(7_000);
  expect(reader.feed.state).toEqual({ status: "live", transport: "poll" });
});

test("a transport that does not lead to the server is left at once", async () => {
  server.fault = ({ transport }) => (transport === "connect" ? { answer: html(405) } : transport === "sse" ? { answer: html(200) } : undefined);
  const reader = read("a");
  await settle();
  expect(reader.feed.state).toEqual({ status: "live", transport: "long-poll" });
});

test("where nothing gets through, no transport is blamed", async () => {
  let away: "hang" | "refuse" | "502" | undefined;
  server.fault = () => (away === "502" ? { answer: html(502) } : away ? { [away]: true } : undefined);
  const reader = read("a");
  for (away of ["refuse", "hang", "502"] as const) {
    await pass(2 * 60_000);
    const tried = server.asked.length;
    server.cut();
    await pass(60_000);
    expect(server.asked.length).toBeGreaterThan(tried);
  }
  expect(ways()).not.toContain("sse");
  away = undefined;
  await pass(60_000);
  expect(reader.feed.state).toEqual({ status: "live", transport: "connect" });
});

test("a transport whose connections fall silent twice is left", async () => {
  server.fault = ({ transport }) => (transport === "connect" ? { piece: (piece, n) => (n === 0 ? [piece] : []) } : undefined);
  const reader = read("a");
  await settle();
  server.log("a", "one");
  await pass(80_000);
  expect(reader.texts).toEqual(["one"]);
  expect(reader.feed.state).toEqual({ status: "live", transport: "sse" });
});

test("a better transport is tried again, and the one that works is kept until it delivers", async () => {
  let buffers = true;
  server.fault = (asked) => (buffers && streams(asked) ? { buffer: true } : undefined);
  const reader = read("a");
  await pass(10_000);
  expect(reader.feed.state).toEqual({ status: "live", transport: "long-poll" });
  await pass(60_000);
  expect(reader.states.filter((state) => state === "connecting sse")).toHaveLength(2);
  expect(reader.feed.state).toEqual({ status: "live", transport: "long-poll" });
  buffers = false;
  await pass(5 * 60_000);
  expect(reader.feed.state).toEqual({ status: "live", transport: "connect" });
  server.log("a", "one");
  await settle();
  expect(reader.texts).toEqual(["one"]);
});

test("polls are 0.1 to 5 seconds apart, and soon after a change", async () => {
  const reader = new Reader(follow("http://feed.example", { workflows: ["a"], transport: "poll" }));
  readers.push(reader);
  const times: number[] = [];
  server.fault = () => (times.push(Date.now()), undefined);
  await pass(60_000);
  const gaps = times.slice(1).map((time, n) => time - times[n]!);
  expect(gaps[0]).toBe(100);
  for (let n = 1; n < gaps.length; n++) if (gaps[n]! < 5_000) expect(Math.abs(gaps[n]! - gaps[n - 1]! * 1.5)).toBeLessThan(2);
  expect(Math.max(...gaps)).toBeLessThanOrEqual(6_000); // the last wait a second each
  server.log("a", "one");
  for (let n = 0; n < 55 && !reader.texts.length; n++) await pass(100);
  expect(reader.texts).toEqual(["one"]);
  times.length = 0;
  await pass(1_000);
  expect(times.length).toBeGreaterThanOrEqual(4);
});

test("a server that answers long polls at once is not asked in a loop", async () => {
  server.fault = ({ transport }) => (transport === "chatData" ? { answer: () => Response.json({ items: [], upToDate: true }) } : undefined);
  readers.push(new Reader(follow("http://feed.example", { workflows: ["a"], transport: "long-poll" })));
  await pass(60_000);
  expect(server.asked.length).toBeLessThan(25);
});
