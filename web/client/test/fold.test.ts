import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Fold } from "../src/fold.js";
import type { Gone, Item } from "../src/types.js";

const cases: { name: string; items: Item[]; want: object }[] = JSON.parse(readFileSync(new URL("../../../feed/fold/testdata/cases.json", import.meta.url), "utf8"));

/** What is shown. It is frozen: nothing may change later. */
const shown = ({ messages, tools, progress }: Fold) => freeze({ messages, tools, progress });

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) Object.values(Object.freeze(value)).forEach(freeze);
  return value;
}

function fold(...items: Item[]): Fold {
  const chat = new Fold();
  for (const item of items) {
    chat.add(item);
    shown(chat);
  }
  return chat;
}

const item = (type: string, id: string, createdAt: number, body: object) => ({ type, createdAt, item: { id, ...body } }) as unknown as Item;
const delta = (messageId: string, createdAt: number, at: number, text: string, more: object = {}) =>
  item("delta", `${messageId}:1:0:${at}`, createdAt, { messageId, attempt: 1, part: 0, kind: "text", at, delta: text, ...more });
const texts = (chat: Fold) => chat.messages.map(({ parts }) => parts.map(({ text }) => text).join("|"));

test("there are cases", () => expect(cases.length).toBeGreaterThan(20));

describe.each(cases)("$name", ({ items, want }) => {
  test("is shown as in every language", () => expect(shown(fold(...items))).toEqual(want));

  test("given again from any item, shows the same at every point, as the same objects", () => {
    for (let end = 1; end <= items.length; end++) {
      const once = shown(fold(...items.slice(0, end)));
      for (let begin = 0; begin < end; begin++) {
        const chat = fold(...items.slice(0, end));
        const before = shown(chat);
        for (const again of items.slice(begin, end)) chat.add(structuredClone(again));
        expect(shown(chat), `items ${begin} to ${end} twice`).toEqual(once);
        expect(chat.progress).toBe(before.progress);
        expect(chat.tools).toBe(before.tools);
        expect(chat.messages.every((message, n) => message === before.messages[n])).toBe(true);
      }
      for (let cut = 0; cut < end; cut++) {
        const chat = fold(...items.slice(0, cut), ...items.slice(Math.max(0, cut - 3), end));
        expect(shown(chat), `cut before item ${cut}`).toEqual(once);
      }
    }
  });

  test("shows the same to whoever comes when the deltas are gone", () => {
    const whole = new Set(items.filter(({ type }) => type === "message").map(({ item }) => item.id));
    const later = items.filter((one) => one.type !== "delta" || !whole.has(one.item.messageId));
    expect(shown(fold(...later))).toEqual(shown(fold(...items)));
  });
});

test("a text that is cut anywhere is the same", () => {
  const text = [..."Zoë said: 👋🏽 e\u0301 — \"fine\" 你好 👩‍👩‍👧"];
  for (let step = 1; step <= text.length; step++) {
    for (let overlap = 0; overlap < step; overlap++) {
      const chat = new Fold();
      for (let at = 0; at < text.length; at += step) {
        const begin = Math.max(0, at - overlap);
        chat.add(delta("m", at + 1, begin, text.slice(begin, at + step).join("")));
      }
      expect(texts(chat), `pieces of ${step} that overlap by ${overlap}`).toEqual([text.join("")]);
    }
  }
});

test("a tool call has what each of its states says, in whatever order they come", () => {
  const state = (state: string, at: number, more: object) => item("tool", `c:${state}`, at, { callId: "c", messageId: "", name: "n", state, input: null, output: null, error: "", ...more });
  const states = [state("input-available", 1, { input: { q: 1 }, messageId: "a" }), state("approval-requested", 2, {}), state("output-available", 3, { output: 0 })];
  const want = [{ callId: "c", messageId: "a", name: "n", state: "output-available", input: { q: 1 }, output: 0, error: "" }];
  for (const [a, b, c] of [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]) {
    expect(fold(states[a!]!, states[b!]!, states[c!]!).tools).toEqual(want);
  }
});

test("what is erased is not shown, unless it was written again", () => {
  const chat = fold(
    item("message", "a", 1, { message: "x" }),
    delta("b:c", 2, 0, "x"),
    item("tool", "t:output-error", 3, { callId: "t" }),
    item("progress", "p", 4, { progress: 1 }),
    item("message", "z", 5, { message: "stays" }),
  );
  const gone = (type: string, id: string, at: number) => chat.remove({ workflowId: "wf", type, id, _createdAt: at } as Gone);
  const before = shown(chat);
  gone("message", "z", 4); // an earlier one of the same id
  gone("tool", "t:output-error", 2);
  gone("progress", "p", 3);
  gone("message", "never", 9);
  gone("delta", "odd", 9);
  gone("log", "a", 9);
  expect(shown(chat).messages).toBe(before.messages);
  expect(shown(chat).tools).toBe(before.tools);
  expect(shown(chat).progress).toBe(before.progress);
  gone("message", "a", 1);
  gone("delta", "b:c:1:0:0", 2);
  gone("tool", "t:output-error", 3);
  gone("progress", "p", 4);
  expect(texts(chat)).toEqual(["stays"]);
  expect(chat.tools).toEqual([]);
  expect(chat.progress).toBeNull();
  chat.add(item("message", "a", 1, { message: "x" })); // it was under way
  expect(texts(chat)).toEqual(["stays"]);
  chat.add(item("message", "a", 6, { message: "written anew" }));
  expect(texts(chat)).toEqual(["written anew", "stays"]); // in its old place
});

test("what did not change is the same object", () => {
  const chat = fold(
    item("message", "u", 1, { message: "Hi", role: "user", status: "" }),
    delta("a", 2, 0, "thinking", { kind: "reasoning" }),
    delta("a", 3, 0, "Hel", { part: 1 }),
    item("tool", "c:input-available", 4, { callId: "c" }),
    item("tool", "d:input-available", 5, { callId: "d" }),
    item("progress", "p", 6, { progress: 1, status: "", result: "" }),
  );
  const before = shown(chat);
  chat.add(item("log", "l", 7, {}));
  expect(chat.messages).toBe(before.messages);
  chat.add(delta("a", 8, 3, "lo", { part: 1 }));
  expect(chat.messages[0]).toBe(before.messages[0]);
  expect(chat.messages[1]).not.toBe(before.messages[1]);
  expect(chat.messages[1]!.parts[0]).toBe(before.messages[1]!.parts[0]);
  expect(chat.messages[1]!.parts[1]!.text).toBe("Hello");
  expect(chat.tools).toBe(before.tools);
  chat.add(item("tool", "d:output-available", 9, { callId: "d", output: 1 }));
  expect(chat.tools[0]).toBe(before.tools[0]);
  expect(chat.tools[1]).not.toBe(before.tools[1]);
  expect(chat.progress).toBe(before.progress);
});

test("what has no body is ignored, and a message without one is empty", () => {
  const chat = fold(item("delta", "d", 1, { omitted: ["delta"] }), item("tool", "t", 2, { omitted: ["tool"] }), item("message", "m", 3, { omitted: ["message"] }));
  expect(shown(chat)).toEqual({
    messages: [{ id: "m", version: "m", role: "", status: "", complete: true, attempt: 0, parts: [{ number: 0, kind: "text", text: "" }] }],
    tools: [],
    progress: null,
  });
});
