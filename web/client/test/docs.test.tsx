// Runs the code of docs/browser.md as it is there, against the server in memory.
import { readFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Window } from "happy-dom";
import { afterAll, afterEach, beforeEach, expect, test, vi } from "vitest";
import { pass, settle } from "./help.js";
import { Browser } from "./browser.js";
import { Server } from "./server.js";

const page = new Window();
for (const [name, value] of Object.entries({ window: page, document: page.document, navigator: page.navigator, IS_REACT_ACT_ENVIRONMENT: true })) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

const text = readFileSync(new URL("../../../docs/browser.md", import.meta.url), "utf8");
const folder = mkdtempSync(join(import.meta.dirname, ".docs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Returns the code under a heading. */
function code(heading: string): { language: string; code: string } {
  const section = text.split(/^## /m).find((section) => section.startsWith(heading + "\n"))!;
  const [, language, code] = /^```(tsx?)\n(.*?)^```$/ms.exec(section)!;
  return { language: language!, code: code! };
}

/** Runs the code under a heading and returns what it exports. Code that follows a feed does not come to its end. */
function run(heading: string): Promise<any> {
  const { language, code: source } = code(heading);
  const file = join(folder, `${heading.replaceAll(" ", "-")}.${language}`);
  writeFileSync(file, source);
  return import(/* @vite-ignore */ file);
}

let server: Server;
beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
  page.document.body.innerHTML = "<ol></ol><main></main><form><input></form><output></output>";
});
afterEach(() => void vi.useRealTimers());

const shown = (selector: string) => page.document.querySelector(selector)!.textContent;
const message = (text: string, id?: string) => server.write("wf_1", "message", { message: text, role: "user", status: "complete" }, id);
/** Waits for what is imported, which takes real time. */
const until = (check: () => void) => vi.waitFor(async () => (await pass(50), check()), { timeout: 10_000 });

test("Follow", async () => {
  const item = message("one");
  message("two");
  server.write("wf_1", "stat", { processingTime: 1, tokenCount: 1 });
  void run("Follow");
  await until(() => expect(shown("ol")).toBe("onetwostat"));
  server.tell({ gone: [{ workflowId: "wf_1", type: "message", id: item.item.id, _createdAt: item.createdAt }] });
  await settle();
  expect(shown("ol")).toBe("twostat");
  server.tell({ anew: ["wf_1"] });
  await settle();
  expect(shown("ol")).toBe("");
});

test("A chat", async () => {
  message("Hello");
  void run("A chat");
  await until(() => expect(shown("main")).toBe("user: Hello"));
  server.write("wf_1", "delta", { messageId: "m", attempt: 1, part: 0, kind: "text", at: 0, delta: "Hi" });
  await settle();
  expect(shown("main")).toBe("user: Hello\nassistant: Hi");
  expect(page.document.title).toBe("live");
  page.document.querySelector("input")!.value = "How are you?";
  page.document.querySelector("form")!.onsubmit!(new page.Event("submit") as any);
  await settle();
  expect(server.asked.at(-1)).toMatchObject({ path: "/chatfeed.v1.ChatService/SendMessage", body: { workflowId: "wf_1", text: "How are you?" } });
});

test("React", async () => {
  message("Hello");
  const { Conversation } = await run("React");
  const { act } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const root = createRoot(page.document.querySelector("output") as unknown as Element);
  await act(async () => root.render(<Conversation id="wf_1" />));
  await act(settle);
  expect(shown("output p")).toBe("Hello");
  expect(page.document.querySelector("output main")!.getAttribute("aria-busy")).toBe("false");
  await act(async () => page.document.querySelector("button")!.click());
  await act(settle);
  expect(server.asked.at(-1)).toMatchObject({ body: { workflowId: "wf_1", text: "Go on." } });
  await act(async () => root.unmount());
});

test("Svelte", async () => {
  message("Hello");
  const { store } = await run("Svelte");
  const conversation = store("", "wf_1");
  const seen: number[] = [];
  const leave = conversation.subscribe(({ messages }: any) => seen.push(messages.length));
  expect(seen).toEqual([0]);
  await settle();
  expect(seen.at(-1)).toBe(1);
  leave();
  message("more");
  await settle();
  expect(seen.at(-1)).toBe(1);
  conversation.close();
});

test("Many tabs", async () => {
  new Browser();
  message("Hello", "m1");
  void run("Many tabs");
  await until(() => expect(shown("output")).toBe("m1 "));
});

test("Tests of a page", async () => {
  const { view } = await run("Tests of a page");
  const texts = () => view.getSnapshot().messages.map(({ parts }: any) => parts[0].text);
  await settle();
  expect(texts()).toEqual(["Hel"]);
  await pass(200);
  expect(view.getSnapshot().state).toMatchObject({ status: "waiting", reason: "the network is gone" });
  await pass(1_000);
  expect(texts()).toEqual(["Hello"]);
  expect(view.getSnapshot().state).toEqual({ status: "ended", reason: "final" });
});

test("With connect-web", async () => {
  message("Hello", "m1");
  message("Hello again", "m2");
  void run("With connect-web");
  await until(() => expect(shown("output")).toBe("m2"));
  expect(server.asked[0]!.headers.get("Authorization")).toBe("Bearer a token");
});

test("no other code is in the document", () => {
  expect(text.match(/^```tsx?$/gm)).toHaveLength(7);
});
