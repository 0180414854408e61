import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { chat, FeedError, follow, type Chat, type ChatSnapshot, type Options, type Transport } from "../src/index.js";
import { pass, settle } from "./help.js";
import { Server } from "./server.js";

let server: Server;
const open: Chat[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
});

afterEach(async () => {
  for (const chat of open.splice(0)) chat.close();
  await settle();
  expect(vi.getTimerCount(), "timers that are left").toBe(0);
  expect(server.streams, "streams that are left open").toBe(0);
  vi.useRealTimers();
});

const url = "http://feed.example";
const types: NonNullable<Options["types"]> = ["message", "delta", "tool", "progress"];

/** Opens a chat with the workflow "a", and keeps each of its snapshots. */
function begin(options: Partial<Options> = {}): { view: Chat; snapshots: ChatSnapshot[] } {
  const view = chat(follow(url, { workflows: ["a"], types, ...options }));
  open.push(view);
  const snapshots: ChatSnapshot[] = [];
  view.subscribe(() => snapshots.push(view.getSnapshot()));
  return { view, snapshots };
}

const delta = (messageId: string, attempt: number, at: number, delta: string) =>
  server.write("a", "delta", { messageId, attempt, part: 0, kind: "text", at, delta }, `${messageId}:${attempt}:0:${at}`);
const texts = (view: Chat) => view.getSnapshot().messages.map(({ parts }) => parts.map(({ text }) => text).join("|"));

describe.each<Transport>(["connect", "sse", "socket", "long-poll", "poll"])("%s", (transport) => {
  test("shows an answer while it grows, whatever breaks, and each change once", async () => {
    const { view, snapshots } = begin({ transport });
    server.write("a", "message", { message: "Count", role: "user", status: "" }, "u");
    let answer = "";
    for (let n = 0; n < 30; n++) {
      const attempt = n < 10 ? 1 : 2;
      if (n === 10) answer = "";
      delta("b", attempt, answer.length, `${n} `);
      answer += `${n} `;
      if (n % 4 === 0) server.cut();
      await pass(n % 2 ? 50 : 7_000);
      const shown = texts(view)[1];
      if (shown !== undefined && n >= 12) expect(answer.startsWith(shown)).toBe(true);
    }
    await pass(20_000);
    expect(texts(view)).toEqual(["Count", answer]);
    expect(view.getSnapshot().messages[1]).toMatchObject({ complete: false, attempt: 2, role: "assistant" });
    server.write("a", "message", { message: "Done", role: "assistant", status: "complete" }, "b");
    server.write("a", "progress", { progress: 100, status: "done", result: "", final: true }, "p");
    server.close();
    await pass(40_000);
    expect(texts(view)).toEqual(["Count", "Done"]);
    expect(view.getSnapshot()).toMatchObject({ progress: { progress: 100, status: "done", result: "", final: true }, state: { status: "ended", reason: "final" } });
    snapshots.forEach((snapshot, n) => {
      const { messages, tools, progress, state } = snapshots[n - 1] ?? {};
      expect(snapshot.messages !== messages || snapshot.tools !== tools || snapshot.progress !== progress || snapshot.state !== state).toBe(true);
      expect(snapshot.messages[0]).toBe(n > 0 && messages!.length ? messages![0] : snapshot.messages[0]);
    });
  });
});

test("what shows nothing changes nothing", async () => {
  const { view, snapshots } = begin({ types: ["log", "message"] });
  server.write("a", "message", { message: "Hi", role: "user", status: "" });
  await settle();
  const before = view.getSnapshot();
  const count = snapshots.length;
  server.log("a", "quiet");
  await pass(60_000); // with heartbeats
  expect(view.getSnapshot()).toBe(before);
  expect(snapshots).toHaveLength(count);
});

test("what is erased goes, and a history that was erased begins anew", async () => {
  const { view } = begin();
  const one = server.write("a", "message", { message: "one", role: "user", status: "" });
  server.write("a", "message", { message: "two", role: "user", status: "" });
  server.write("a", "tool", { callId: "c", messageId: "", name: "n", state: "s", input: null, output: null, error: "" });
  await settle();
  const gone = { workflowId: "a", type: "message", id: one.item.id, _createdAt: one.createdAt };
  server.tell({ gone: [{ ...gone, workflowId: "b" }] });
  await settle();
  expect(texts(view)).toEqual(["one", "two"]);
  server.tell({ gone: [gone] });
  await settle();
  expect(texts(view)).toEqual(["two"]);
  server.tell({ anew: ["b"] });
  await settle();
  expect(texts(view)).toEqual(["two"]);
  server.tell({ anew: ["a"], items: [server.write("a", "message", { message: "three", role: "user", status: "" })] });
  await settle();
  expect(texts(view)).toEqual(["three"]);
  expect(view.getSnapshot().tools).toEqual([]);
});

test("needs a feed of one workflow, and shows no other", async () => {
  expect(() => chat(follow(url, { workflows: ["a", "b"] }))).toThrow("chat: a feed that follows one workflow is accepted");
  expect(() => chat(follow(url, { workflows: [] }))).toThrow(TypeError);
  const feed = follow(url, { workflows: ["a"], types });
  open.push(chat(feed));
  feed.add("b");
  server.write("b", "message", { message: "other", role: "user", status: "" });
  server.write("a", "message", { message: "mine", role: "user", status: "" });
  await settle();
  expect(texts(open[0]!)).toEqual(["mine"]);
});

test("sends, stops and approves, with the token", async () => {
  const { send, stop, approve } = begin({ token: () => "secret" }).view;
  await settle();
  server.asked.length = 0;
  server.fault = ({ path }) => (path.endsWith("SendMessage") ? { answer: Response.json({ id: "mine", runId: "run", added: "later" }) } : undefined);
  expect(await send("Hi", { id: "mine" })).toMatchObject({ id: "mine", runId: "run" });
  await send("Hi");
  expect(await stop()).toBeUndefined();
  expect(await approve("c", false, "too long")).toBeUndefined();
  await approve("c", true);
  expect(server.asked.map(({ path, body }) => [path, body])).toEqual([
    ["/chatfeed.v1.ChatService/SendMessage", { workflowId: "a", text: "Hi", id: "mine" }],
    ["/chatfeed.v1.ChatService/SendMessage", { workflowId: "a", text: "Hi" }],
    ["/chatfeed.v1.ChatService/StopAnswer", { workflowId: "a" }],
    ["/chatfeed.v1.ChatService/AnswerApproval", { workflowId: "a", callId: "c", approved: false, reason: "too long" }],
    ["/chatfeed.v1.ChatService/AnswerApproval", { workflowId: "a", callId: "c", approved: true }],
  ]);
  for (const { headers } of server.asked) expect(headers.get("Authorization")).toBe("Bearer secret");
});

test("asks for a token once more when it is refused", async () => {
  let token = 0;
  let good = 1;
  server.fault = ({ headers }) =>
    headers.get("Authorization") === `Bearer ${good}` ? undefined : { answer: () => Response.json({ code: "unauthenticated", message: "expired" }, { status: 401 }) };
  const { view } = begin({ token: () => `${++token}` });
  await settle();
  good = 3;
  await view.stop(); // 2 was refused
  expect(token).toBe(3);
  good = 0;
  await expect(view.stop()).rejects.toMatchObject({ code: "unauthenticated" });
  expect(token).toBe(5);
  const anonymous = begin().view;
  await settle();
  server.asked.length = 0;
  await expect(anonymous.stop()).rejects.toMatchObject({ code: "unauthenticated" });
  expect(server.asked).toHaveLength(1);
});

test("says why a message was not sent", async () => {
  const { view } = begin();
  await settle();
  server.fault = () => ({ answer: Response.json({ code: "failed_precondition", message: "the workflow is closed" }, { status: 400 }) });
  await expect(view.send("Hi")).rejects.toMatchObject({ code: "failed_precondition", message: "the workflow is closed" });
  server.fault = () => ({ refuse: true });
  await expect(view.stop()).rejects.toBeInstanceOf(FeedError);
  expect(view.getSnapshot().state.status).toBe("live");
});

test("shows that the server has refused, and what it has shown before", async () => {
  const { view } = begin();
  server.write("a", "message", { message: "one", role: "user", status: "" });
  await settle();
  server.fault = () => ({ answer: Response.json({ code: "permission_denied", message: "no longer" }, { status: 403 }) });
  server.cut();
  await pass(30_000);
  expect(view.getSnapshot().state).toEqual({ status: "failed", code: "permission_denied", reason: "no longer" });
  expect(texts(view)).toEqual(["one"]);
});

test("close ends the feed, and a listener that has left is not called", async () => {
  const { view, snapshots } = begin();
  const left = vi.fn();
  const leave = view.subscribe(left);
  await settle();
  const called = left.mock.calls.length;
  expect(called).toBe(snapshots.length);
  leave();
  view.close();
  await settle();
  expect(view.getSnapshot().state).toEqual({ status: "ended", reason: "closed" });
  expect(left).toHaveBeenCalledTimes(called);
});

test("a listener that throws stops neither the others nor the feed", async () => {
  const thrown: unknown[] = [];
  const handlers = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException").on("uncaughtException", (error) => thrown.push(error));
  try {
    const view = chat(follow(url, { workflows: ["a"], types }));
    open.push(view);
    const leave = view.subscribe(() => {
      throw new Error("mine");
    });
    const other = vi.fn();
    view.subscribe(other);
    for (const message of ["one", "two"]) {
      server.write("a", "message", { message, role: "user", status: "" });
      await settle();
    }
    expect(texts(view)).toEqual(["one", "two"]);
    expect(other.mock.calls.length).toBeGreaterThan(2);
    expect(thrown.length).toBe(other.mock.calls.length); // and they are reported
    leave();
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const handler of handlers) process.on("uncaughtException", handler);
  }
});

test("reads on when the page has painted, or a moment later in the background", async () => {
  const frames: (() => void)[] = [];
  vi.stubGlobal("requestAnimationFrame", (call: () => void) => frames.push(call));
  vi.stubGlobal("cancelAnimationFrame", () => {});
  const feed = follow(url, { workflows: ["a"], types, transport: "connect" });
  const view = chat(feed);
  open.push(view);
  const write = async (message: string) => {
    const written = server.write("a", "message", { message, role: "user", status: "" });
    await settle();
    return written.createdAt;
  };
  const one = await write("one");
  expect(texts(view)).toEqual(["one"]);
  expect(feed.cursors).toEqual({});
  await write("two");
  expect(texts(view)).toEqual(["one"]); // it is not painted yet
  frames.splice(0).forEach((paint) => paint());
  await settle();
  expect(feed.cursors).toEqual({ a: one });
  expect(texts(view)).toEqual(["one", "two"]);
  await write("three");
  expect(texts(view)).toEqual(["one", "two"]);
  await pass(100); // nothing is painted
  expect(texts(view)).toEqual(["one", "two", "three"]);
  await pass(100);
});
