import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { chat, FeedError } from "../src/index.js";
import { scripted, type Step } from "../src/testing.js";
import { pass, Reader, settle } from "./help.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const log = (message: string) => ({ type: "log" as const, item: { message } });

test("a script is played step by step", async () => {
  const reader = new Reader(
    scripted([{ items: [log("one"), log("two")] }, { sleep: 500 }, { drop: "the network is gone" }, { sleep: 500 }, { items: [log("three")] }, { end: "final" }]),
  );
  await settle();
  expect(reader.texts).toEqual(["one", "two"]);
  expect(reader.feed.state.status).toBe("live");
  expect(reader.items[1]).toEqual({ type: "log", createdAt: 1795311746.002, item: { id: "log_2", workflowId: "wf_1", message: "two", _createdAt: 1795311746.002 } });
  expect(reader.feed.cursors).toEqual({ wf_1: 1795311746.002 });
  await pass(490);
  expect(reader.feed.state).toMatchObject({ status: "waiting", reason: "the network is gone" });
  await pass(500);
  expect(reader.texts).toEqual(["one", "two", "three"]);
  expect(reader.ended).toBe(true);
  expect(reader.feed.state).toEqual({ status: "ended", reason: "final" });
  expect(reader.batches.map(({ final }) => final)).toEqual([false, false, true]);
  expect(vi.getTimerCount()).toBe(0);
});

test("no step is taken while a batch is being rendered, and its cursor does not count", async () => {
  const taken: number[] = [];
  function* steps(): Generator<Step> {
    for (let n = 0; n < 3; n++) {
      taken.push(n);
      yield { items: [log(`${n}`)] };
    }
  }
  const reader = new Reader(scripted(steps()));
  let release = () => {};
  reader.hold = new Promise((resolve) => (release = resolve));
  await settle();
  expect(taken).toEqual([0]);
  expect(reader.feed.cursors).toEqual({});
  reader.hold = undefined;
  release();
  await settle();
  expect(reader.texts).toEqual(["0", "1", "2"]);
  reader.feed.close();
  await settle();
  expect(reader.ended).toBe(true);
});

test("a script ends with an error, and a feed is closed while it sleeps", async () => {
  const error = new FeedError("permission_denied", "not yours");
  const reader = new Reader(scripted([{ end: error }]));
  await settle();
  expect(reader.error).toBe(error);
  expect(reader.feed.state).toEqual({ status: "failed", code: "permission_denied", reason: "not yours" });
  const sleeping = new Reader(scripted([{ sleep: 1e6 }, { items: [log("never")] }]));
  await settle();
  sleeping.feed.close();
  await settle();
  expect(sleeping.ended).toBe(true);
  expect(sleeping.texts).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});

test("a chat shows a script's answer as it grows", async () => {
  const delta = (at: number, text: string) => ({ type: "delta" as const, item: { messageId: "answer", attempt: 1, part: 0, kind: "text", at, delta: text } });
  const view = chat(scripted([{ items: [delta(0, "Hel")] }, { sleep: 50 }, { items: [delta(3, "lo")] }]));
  await settle();
  expect(view.getSnapshot().messages).toMatchObject([{ id: "answer", complete: false, parts: [{ text: "Hel" }] }]);
  await pass(50);
  expect(view.getSnapshot().messages).toMatchObject([{ id: "answer", complete: false, parts: [{ text: "Hello" }] }]);
  view.close();
});
