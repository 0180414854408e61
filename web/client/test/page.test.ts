import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { follow } from "../src/index.js";
import { pass, Reader, settle } from "./help.js";
import { Server } from "./server.js";

let server: Server;
let reader: Reader;
let page: EventTarget & { visibilityState: string };
const outside = new EventTarget();

beforeEach(async () => {
  vi.useFakeTimers();
  server = new Server();
  page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  vi.stubGlobal("document", page);
  vi.stubGlobal("addEventListener", outside.addEventListener.bind(outside));
  reader = new Reader(follow("http://feed.example", { workflows: ["a"] }));
  await settle();
});

afterEach(async () => {
  reader.feed.close();
  await settle();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const waiting = async () => {
  server.fault = () => ({ refuse: true });
  server.cut();
  await pass(120_000);
  if (reader.feed.state.status !== "waiting") throw new Error(reader.feed.state.status);
  server.fault = () => undefined;
  server.asked.length = 0;
};

const back = {
  visibilitychange: () => page.dispatchEvent(new Event("visibilitychange")),
  resume: () => page.dispatchEvent(new Event("resume")),
  online: () => outside.dispatchEvent(new Event("online")),
  pageshow: () => outside.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true })),
};

test.each(Object.keys(back) as (keyof typeof back)[])("%s ends a pause", async (name) => {
  await waiting();
  back[name]();
  await settle();
  expect(reader.feed.state.status).toBe("live");
  expect(server.asked).toHaveLength(1);
});

test.each(["resume", "online", "pageshow"] as const)("%s does not trust a connection from before", async (name) => {
  back[name]();
  await settle();
  expect(server.asked).toHaveLength(2);
  expect(reader.feed.state.status).toBe("live");
});

test("a page that is shown again leaves a connection on which a heartbeat is missing, and no other", async () => {
  await pass(14_000);
  back.visibilitychange();
  await settle();
  expect(server.asked).toHaveLength(1);
  server.heartbeat = 1e9;
  await pass(22_000);
  page.visibilityState = "hidden";
  back.visibilitychange();
  await settle();
  expect(server.asked).toHaveLength(1);
  page.visibilityState = "visible";
  back.visibilitychange();
  await settle();
  expect(server.asked).toHaveLength(2);
});

test("a page that is shown for the first time changes nothing", async () => {
  outside.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: false }));
  await settle();
  expect(server.asked).toHaveLength(1);
});

test("a feed that has ended does not listen", async () => {
  reader.feed.close();
  await settle();
  for (const event of Object.values(back)) event();
  await settle();
  expect(server.asked).toHaveLength(1);
});
