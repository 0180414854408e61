import { lastAssistantMessageIsCompleteWithApprovalResponses, type UIMessage } from "ai";
import { Window } from "happy-dom";
import { StrictMode, useEffect, type ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ChatfeedTransport } from "../../src/ai/index.js";
import { settle } from "../help.js";
import { look, Workflow } from "./workflow.js";

const page = new Window();
for (const [name, value] of Object.entries({ window: page, document: page.document, navigator: page.navigator, IS_REACT_ACT_ENVIRONMENT: true })) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
const { act } = await import("react"); // they look for a document when they are loaded
const { createRoot } = await import("react-dom/client");
const { useChat } = await import("@ai-sdk/react");

let workflow: Workflow;
let transport: ChatfeedTransport;
let chat: ReturnType<typeof useChat<never>>;
let root: ReturnType<typeof createRoot>;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_795_311_000_000 });
  workflow = new Workflow();
  transport = new ChatfeedTransport({ url: "http://feed.example" });
  page.document.body.innerHTML = "<main></main>";
  root = createRoot(page.document.querySelector("main") as unknown as Element);
});

afterEach(async () => {
  await act(async () => root.unmount());
  await act(settle);
  expect(workflow.server.streams, "streams that are left open").toBe(0);
  expect(vi.getTimerCount(), "timers that are left").toBe(0);
  vi.useRealTimers();
});

function List({ messages, status }: { messages: UIMessage[]; status: string }) {
  return (
    <>
      {messages.map((message) => (
        <p key={message.id}>{look(message)}</p>
      ))}
      <i>{status}</i>
    </>
  );
}

/** One line. */
function Simple() {
  const helpers = useChat({ id: "wf_1", transport });
  chat = helpers as unknown as typeof chat;
  return <List {...helpers} />;
}

/** Two lines. */
function Attached() {
  const helpers = useChat({ id: "wf_1", transport, sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
  useEffect(() => transport.attach(helpers), [helpers.id]);
  chat = helpers as unknown as typeof chat;
  return <List {...helpers} />;
}

function Resuming() {
  const helpers = useChat({ id: "wf_1", transport, resume: true });
  chat = helpers as unknown as typeof chat;
  return <List {...helpers} />;
}

const show = async (what: ReactNode) => {
  await act(async () => root.render(what));
  await act(settle);
};
const place = () => [...page.document.querySelectorAll("p, i")].map((line) => line.textContent);
const after = async (what: () => void) => {
  what();
  await act(settle);
};

test("useChat with the transport is a chat with the workflow", async () => {
  await show(<Simple />);
  await after(() => void chat.sendMessage({ text: "hi" }));
  expect(place()).toEqual(["user: hi", "submitted"]);
  await after(() => workflow.say("a", "Hel"));
  expect(place()).toEqual(["user: hi", "assistant: Hel…", "streaming"]);
  await after(() => {
    workflow.message("a", "Hello");
    workflow.done();
  });
  expect(place()).toEqual(["user: hi", "assistant: Hello", "ready"]);
  expect(workflow.server.streams).toBe(0);
});

for (const strict of [true, false]) {
  const wrap = (what: ReactNode) => (strict ? <StrictMode>{what}</StrictMode> : what);

  test(`a page that is loaded in the middle of an answer goes on with it (strict: ${strict})`, async () => {
    workflow.user("hi", "u");
    workflow.say("a", "Hel");
    await show(wrap(<Attached />));
    expect(place()).toEqual(["user: hi", "assistant: Hel…", "streaming"]);
    await after(() => workflow.say("a", "lo"));
    expect(place()).toEqual(["user: hi", "assistant: Hello…", "streaming"]);
    await after(() => void chat.stop());
    expect(workflow.stops).toBe(1);
    await after(() => {
      workflow.message("a", "Hello", { status: "stopped" });
      workflow.progress(30, "stopped");
    });
    expect(place()).toEqual(["user: hi", "assistant: Hello", "ready"]);
  });

  test(`a page that is left does not stop the answer, and shows it when one comes back (strict: ${strict})`, async () => {
    await show(wrap(<Attached />));
    await after(() => void chat.sendMessage({ text: "hi" }));
    await after(() => workflow.say("a", "Hel"));
    await show(<b>elsewhere</b>);
    expect(workflow.stops).toBe(0);
    expect(workflow.server.streams).toBe(0);
    workflow.say("a", "lo");
    await show(wrap(<Attached />));
    expect(place().slice(-2)).toEqual(["assistant: Hello…", "streaming"]);
    await after(() => {
      workflow.message("a", "Hello!");
      workflow.done();
    });
    expect(place().slice(-2)).toEqual(["assistant: Hello!", "ready"]);
    expect(workflow.stops).toBe(0);
  });

  test(`resume goes on with an answer, and does not stop it (strict: ${strict})`, async () => {
    workflow.user("hi", "u");
    workflow.say("a", "Hel");
    await show(wrap(<Resuming />));
    expect(place()).toEqual(["assistant: Hel…", "streaming"]);
    expect(workflow.stops).toBe(0);
    await after(() => {
      workflow.message("a", "Hello");
      workflow.done();
    });
    expect(place()).toEqual(["assistant: Hello", "ready"]);
  });
}

test("what is said on another device appears, with its answer", async () => {
  await show(<Attached />);
  await after(() => workflow.user("from the phone", "u"));
  expect(place()).toEqual(["user: from the phone", "submitted"]);
  await after(() => workflow.say("a", "Hel"));
  expect(place()).toEqual(["user: from the phone", "assistant: Hel…", "streaming"]);
  await after(() => {
    workflow.message("a", "Hello");
    workflow.done();
  });
  await after(() => workflow.message("b", "By the way"));
  expect(place()).toEqual(["user: from the phone", "assistant: Hello", "assistant: By the way", "ready"]);
});

test("an approval that was given on another device is not asked for any more", async () => {
  await show(<Attached />);
  await after(() => void chat.sendMessage({ text: "hi" }));
  await after(() => {
    workflow.tool("c", "a", "input-available");
    workflow.tool("c", "a", "approval-requested");
    workflow.progress(50, "waiting");
  });
  expect(place()).toEqual(["user: hi", "assistant: [tool-search approval-requested]", "ready"]);
  await after(() => workflow.tool("c", "a", "approval-responded"));
  expect(place()).toEqual(["user: hi", "assistant: [tool-search approval-responded]", "ready"]);
  await after(() => workflow.progress(60, "answering"));
  expect(place().at(-1)).toBe("streaming");
  await after(() => {
    workflow.tool("c", "a", "output-available", { output: 1 });
    workflow.message("a", "Done");
    workflow.done();
  });
  expect(place()).toEqual(["user: hi", "assistant: [tool-search output-available] Done", "ready"]);
  expect(workflow.approvals).toEqual([]);
});

test("a stop before the workflow has begun to answer stops it, too", async () => {
  await show(<Attached />);
  await after(() => void chat.sendMessage({ text: "hi" }));
  await after(() => void chat.stop());
  expect(workflow.stops).toBe(1);
  expect(place()).toEqual(["user: hi", "ready"]);
});

test("without attach, a component that is taken away stops the answer, as it does with every transport", async () => {
  await show(<StrictMode><Simple /></StrictMode>);
  await after(() => void chat.sendMessage({ text: "hi" }));
  await after(() => workflow.say("a", "Hel"));
  expect(workflow.stops).toBe(0);
  await show(<b>elsewhere</b>);
  expect(workflow.stops).toBe(1);
});
