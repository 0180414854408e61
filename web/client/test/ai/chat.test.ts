import { lastAssistantMessageIsCompleteWithApprovalResponses } from "ai";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Browser } from "../browser.js";
import { pass, settle } from "../help.js";
import { Page, Workflow } from "./workflow.js";

let workflow: Workflow;
beforeEach(() => {
  vi.useFakeTimers({ now: 1_795_311_000_000 });
  workflow = new Workflow();
  return () => vi.useRealTimers();
});

/** Begins an answer that stands at "Hello wo". */
async function begin(page: Page): Promise<void> {
  await settle();
  void page.chat.sendMessage({ text: "hi" });
  await settle();
  expect(page.chat.status).toBe("submitted");
  workflow.think("a", "Who is it?");
  await settle();
  workflow.say("a", "Hello");
  await settle();
  workflow.say("a", " wo");
  await settle();
}

async function end(): Promise<void> {
  workflow.say("a", "rld");
  await settle();
  workflow.message("a", "Hello world");
  await settle();
  workflow.done();
  await settle();
}

const whole = ["user: hi", "assistant: (Who is it?) Hello world"];

describe.each([true, false])("a page (attached: %s)", (attached) => {
  it("sends a message and shows the answer while it grows", async () => {
    const page = new Page({ attached });
    await begin(page);
    expect(workflow.sent).toEqual([page.chat.messages[0]!.id]);
    expect(page.shown).toEqual(["user: hi", "assistant: (Who is it?) Hello wo…"]);
    expect(page.chat.messages[1]!.id).toBe("a");
    await end();
    expect(page.shown).toEqual(whole);
    expect(page.chat.status).toBe("ready");
    expect(page.statuses).toEqual(["submitted", "streaming", "ready"]);
    expect(page.chat.messages[1]!.metadata).toMatchObject({ status: "complete", progress: { progress: 100 } });
    expect(page.data).toContainEqual({ progress: 0, status: "reading", result: "", final: false });
  });

  it("goes on when the connection breaks and the end of the turn is missed", async () => {
    const page = new Page({ attached });
    await begin(page);
    let away = true;
    workflow.fault = () => (away ? { refuse: true } : undefined);
    workflow.server.cut();
    await end();
    expect(page.shown).toEqual(["user: hi", "assistant: (Who is it?) Hello wo…"]);
    expect(page.chat.status).toBe("streaming");
    away = false;
    await pass(40_000);
    expect(page.shown).toEqual(whole);
    expect(page.chat.status).toBe("ready");
  });

  it("shows a retry of the activity instead of what the attempt before has written", async () => {
    const page = new Page({ attached });
    await begin(page);
    workflow.think("a", "Again.", 2);
    await settle();
    expect(page.shown).toEqual(["user: hi", "assistant: (Again.…)"]);
    workflow.say("a", "Good day", { attempt: 2 });
    await settle();
    expect(page.shown).toEqual(["user: hi", "assistant: (Again.) Good day…"]);
    workflow.say("a", "late", { attempt: 1 });
    workflow.message("a", "Good day.");
    workflow.done();
    await settle();
    expect(page.shown).toEqual(["user: hi", "assistant: (Again.) Good day."]);
    expect(page.chat.status).toBe("ready");
  });

  it("asks for an approval, sends the answer, and goes on with the same message", async () => {
    const page = new Page({ attached, sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
    await begin(page);
    workflow.tool("c", "a", "input-available", { input: { q: 1 } });
    await settle();
    workflow.tool("c", "a", "approval-requested");
    workflow.progress(50, "waiting");
    await settle();
    expect(page.chat.status).toBe("ready");
    expect(page.shown[1]).toBe("assistant: (Who is it?) Hello wo [tool-search approval-requested]");
    void page.chat.addToolApprovalResponse({ id: "c", approved: true, reason: "why not" });
    await settle();
    expect(workflow.approvals).toEqual([{ callId: "c", approved: true, reason: "why not" }]);
    workflow.tool("c", "a", "approval-responded");
    await settle();
    workflow.progress(60, "answering");
    workflow.tool("c", "a", "output-available", { output: [1] });
    await settle();
    expect(page.shown[1]).toBe("assistant: (Who is it?) Hello wo… [tool-search output-available]");
    expect(page.chat.status).toBe("streaming");
    await end();
    expect(page.shown).toEqual(["user: hi", "assistant: (Who is it?) Hello world [tool-search output-available]"]);
    expect(page.chat.messages[1]!.parts.at(-1)).toMatchObject({ input: { q: 1 }, output: [1], approval: { id: "c", approved: true } });
    expect(page.chat.status).toBe("ready");
    expect(workflow.approvals).toHaveLength(1);
  });

  it("shows a call that was refused, and one that has failed", async () => {
    const page = new Page({ attached });
    await begin(page);
    workflow.tool("c", "a", "input-available");
    workflow.tool("c", "a", "output-denied", { error: "no" });
    workflow.tool("d", "a", "input-available");
    await settle();
    workflow.tool("d", "a", "output-error", { error: "broken" });
    await end();
    expect(page.shown[1]).toBe("assistant: (Who is it?) Hello world [tool-search output-denied] [tool-search output-error]");
    expect(page.chat.messages[1]!.parts.slice(-2)).toMatchObject([{ approval: { approved: false, reason: "no" } }, { errorText: "broken" }]);
  });

  it("stops the workflow's answer", async () => {
    const page = new Page({ attached });
    await begin(page);
    void page.chat.stop();
    await settle();
    expect(workflow.stops).toBe(1);
    expect(page.chat.status).toBe("ready");
    workflow.message("a", "Hello wo", { status: "stopped" });
    workflow.progress(50, "stopped");
    await settle();
    expect(page.shown).toEqual(["user: hi", `assistant: (Who is it?) Hello wo${attached ? "" : "…"}`]);
    expect(page.statuses).toEqual(["submitted", "streaming", "ready"]);
    void page.chat.sendMessage({ text: "again" });
    await settle();
    workflow.message("b", "Yes");
    workflow.done();
    await settle();
    expect(page.shown.slice(2)).toEqual(["user: again", "assistant: Yes"]);
    expect(page.chat.status).toBe("ready");
  });

  it("says why the workflow has failed", async () => {
    const page = new Page({ attached });
    await begin(page);
    workflow.server.write("wf_1", "log", { level: "error", message: "the model is away" });
    workflow.progress(50, "failed");
    await settle();
    expect(page.chat.status).toBe("error");
    expect(page.chat.error?.message).toBe("the model is away");
    expect(page.shown).toEqual(["user: hi", "assistant: (Who is it?) Hello wo"]);
  });

  it.each([
    ["cancelled", "ready", undefined],
    ["terminated", "error", "the workflow was terminated"],
    ["timed_out", "error", "the workflow has timed out"],
  ])("ends the answer of a workflow that was %s", async (status, ended, error) => {
    const page = new Page({ attached });
    await begin(page);
    workflow.progress(50, status);
    await settle();
    expect(page.chat.status).toBe(ended);
    expect(page.chat.error?.message).toBe(error);
    expect(page.shown).toEqual(["user: hi", "assistant: (Who is it?) Hello wo"]);
  });

  it("takes no status for a failure that is none", async () => {
    const page = new Page({ attached });
    await begin(page);
    workflow.progress(100, "constructor");
    await settle();
    expect(page.chat.status).toBe("ready");
    expect(page.chat.error).toBeUndefined();
  });

  it("shows every message of a turn as one", async () => {
    const page = new Page({ attached });
    await begin(page);
    workflow.message("a", "Hello world");
    await settle();
    workflow.say("b", "And");
    await settle();
    expect(page.shown).toEqual([whole[0], `${whole[1]} And…`]);
    workflow.message("b", "And more");
    workflow.done();
    await settle();
    expect(page.shown).toEqual([whole[0], `${whole[1]} And more`]);
    expect(page.chat.status).toBe("ready");
  });

  it("removes what is erased while it grows", async () => {
    const page = new Page({ attached });
    await begin(page);
    workflow.server.tell({ anew: ["wf_1"] });
    await settle();
    expect(page.shown.join()).not.toContain("Hello");
  });

  it("says what is wrong when a message is refused, and does not lose it", async () => {
    const page = new Page({ attached });
    await settle();
    let refused = true;
    workflow.fault = ({ transport }) => (refused && transport === "call" ? { answer: Response.json({ code: "resource_exhausted", message: "too many messages" }, { status: 429 }) } : undefined);
    await page.chat.sendMessage({ text: "hi" });
    expect(page.chat.status).toBe("error");
    expect(page.chat.error?.message).toBe("too many messages");
    refused = false;
    void page.chat.regenerate();
    await settle();
    expect(workflow.sent).toEqual([page.chat.messages[0]!.id]);
    workflow.message("a", "Hello world");
    workflow.done();
    await settle();
    expect(page.shown).toEqual(["user: hi", "assistant: Hello world"]);
  });
});

it("a stop that is followed by a message at once stops the answer before", async () => {
  const page = new Page();
  await begin(page);
  void page.chat.stop();
  void page.chat.sendMessage({ text: "again" });
  await settle();
  expect(workflow.stops).toBe(1);
  expect(workflow.sent).toHaveLength(2);
});

it("a piece of an answer is rendered once", async () => {
  const page = new Page();
  await begin(page);
  const seen: string[] = [];
  page.chat["~registerMessagesCallback"](() => void seen.push(page.shown[1]!));
  workflow.say("a", "r");
  await settle();
  workflow.say("a", "ld");
  await settle();
  expect(seen).toEqual(["assistant: (Who is it?) Hello wor…", "assistant: (Who is it?) Hello world…"]);
});

describe("a page that resumes", () => {
  it("does not stop the answer by resuming twice", async () => {
    const page = new Page({ attached: false });
    await begin(page);
    const other = new Page({ attached: false });
    void other.chat.resumeStream();
    await settle();
    void other.chat.resumeStream();
    await settle();
    expect(workflow.stops).toBe(0);
    await end();
    expect(other.shown).toEqual(["assistant: (Who is it?) Hello world"]);
    expect(other.chat.status).toBe("ready");
    void other.chat.resumeStream();
    await settle();
    expect(other.chat.messages.at(-1)!.parts.at(-1)).toMatchObject({ text: "Hello world", state: "done" });
    expect(other.shown).toHaveLength(1);
  });

  it("is given what was said since it was last there, and again the latest when there is nothing new", async () => {
    workflow.user("one", "u1");
    workflow.message("a1", "One");
    workflow.done();
    const page = new Page({ attached: false });
    await page.chat.resumeStream();
    expect(page.shown).toEqual(["assistant: One"]);
    page.chat.messages = [{ ...page.chat.messages[0]!, parts: [{ type: "text", text: "O", state: "streaming" }] }];
    await page.chat.resumeStream();
    expect(page.shown).toEqual(["assistant: One"]);
    for (const n of ["2", "3"]) {
      workflow.user("more", `u${n}`);
      workflow.message(`a${n}`, n);
      workflow.done();
    }
    await page.chat.resumeStream();
    expect(page.shown).toEqual(["assistant: One", "assistant: 2", "assistant: 3"]);
    expect(page.chat.status).toBe("ready");
  });

  it("is told at once that there is nothing", async () => {
    const page = new Page({ attached: false });
    await page.chat.resumeStream();
    expect(page.statuses).toEqual([]);
    expect(workflow.server.streams).toBe(0);
  });

  it("does not report a failure again that was there before", async () => {
    workflow.user("one", "u1");
    workflow.message("a1", "One");
    workflow.progress(10, "failed");
    const page = new Page({ attached: false });
    await page.chat.resumeStream();
    expect(page.chat.status).toBe("ready");
    expect(page.shown).toEqual(["assistant: One"]);
  });
});

it("a message that follows an approval belongs to the same turn", async () => {
  const page = new Page({ attached: false, sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses });
  await begin(page);
  workflow.message("a", "Hello world");
  workflow.tool("c", "a", "approval-requested");
  workflow.progress(50, "waiting");
  await settle();
  void page.chat.addToolApprovalResponse({ id: "c", approved: false });
  await settle();
  expect(workflow.approvals).toMatchObject([{ callId: "c", approved: false }]);
  workflow.tool("c", "a", "output-denied");
  workflow.progress(60, "answering");
  workflow.say("b", "Then");
  await settle();
  expect(page.shown).toEqual(["user: hi", "assistant: Hello world [tool-search output-denied] Then…"]);
  workflow.message("b", "Then not");
  workflow.done();
  await settle();
  expect(page.shown).toEqual(["user: hi", "assistant: Hello world [tool-search output-denied] Then not"]);
  expect(page.chat.status).toBe("ready");
});

it("a message that is written while there is no connection is sent when there is one", async () => {
  const page = new Page();
  await settle();
  let away = true;
  workflow.fault = () => (away ? { refuse: true } : undefined);
  workflow.server.cut();
  await pass(1000);
  void page.chat.sendMessage({ text: "hi" });
  await pass(5000);
  expect(page.chat.status).toBe("submitted");
  expect(workflow.sent).toEqual([]);
  away = false;
  await pass(40_000);
  expect(workflow.sent).toHaveLength(1);
  workflow.message("a", "Hello world");
  workflow.done();
  await settle();
  expect(page.shown).toEqual(["user: hi", "assistant: Hello world"]);
});

it("a message that the workflow has is not sent again, and cannot be changed", async () => {
  const page = new Page();
  await begin(page);
  await end();
  const { id } = page.chat.messages[0]!;
  void page.chat.regenerate();
  await settle();
  expect(workflow.sent).toEqual([id]);
  expect(page.shown).toEqual(whole);
  await page.chat.sendMessage({ text: "other", messageId: id });
  await settle();
  expect(page.chat.error?.message).toContain("a message that was sent cannot be changed; send another");
  expect(workflow.sent).toEqual([id]);
  expect(page.shown).toEqual(whole);
});

it("a message that is not text is refused in words", async () => {
  const page = new Page();
  await page.chat.sendMessage({ text: "look", files: [{ type: "file", mediaType: "image/png", url: "data:," }] });
  expect(page.chat.error?.message).toContain("a message with text only is accepted");
  expect(workflow.sent).toEqual([]);
});

it("a feed that is refused is an error, not an answer that never ends", async () => {
  workflow.fault = ({ transport }) => (transport === "call" ? undefined : { answer: () => Response.json({ code: "permission_denied", message: "you may not read" }, { status: 403 }) });
  const page = new Page();
  await page.chat.sendMessage({ text: "hi" });
  expect(page.chat.status).toBe("error");
  expect(page.chat.error?.message).toBe("you may not read");
});

it("a server that is not chatfeed is an error, too", async () => {
  workflow.fault = () => ({ answer: () => new Response("<!doctype html>", { headers: { "Content-Type": "text/html" } }) });
  const page = new Page();
  void page.chat.sendMessage({ text: "hi" });
  await pass(1_000);
  expect(page.chat.status).toBe("error");
  expect(page.chat.error?.message).toBe("the answer is not from a chatfeed server (HTTP 200)");
});

it("tabs that share have one connection, and show the same when the one that reads is closed within an answer", async () => {
  new Browser();
  const pages = Array.from({ length: 8 }, () => new Page({ share: "me" }));
  await pass(1_000);
  expect(workflow.server.streams).toBe(1);
  await begin(pages[7]!);
  await pass(100);
  for (const page of pages) expect(page.shown).toEqual(["user: hi", "assistant: (Who is it?) Hello wo…"]);
  pages[0]!.transport.close();
  await pass(1_000);
  expect(workflow.server.streams).toBe(1);
  await end();
  await pass(1_000);
  for (const page of pages.slice(1)) {
    expect(page.shown).toEqual(whole);
    expect(page.chat.status).toBe("ready");
  }
  for (const page of pages) page.transport.close();
  await pass(100);
  expect(workflow.server.streams).toBe(0);
});

it.each([true, false])("the end of the workflow ends the answer (attached: %s)", async (attached) => {
  const page = new Page({ attached });
  await begin(page);
  workflow.server.close();
  await settle();
  expect(page.chat.status).toBe("ready");
  expect(page.shown).toEqual(["user: hi", "assistant: (Who is it?) Hello wo"]);
});

it("what the page begins with stays, and comes first", async () => {
  workflow.user("hi", "u");
  workflow.message("a", "Hello");
  workflow.done();
  const page = new Page({ messages: [{ id: "greeting", role: "assistant", parts: [{ type: "text", text: "Welcome" }] }] });
  await settle();
  expect(page.shown).toEqual(["assistant: Welcome", "user: hi", "assistant: Hello"]);
  workflow.server.tell({ gone: [{ workflowId: "wf_1", type: "message", id: "a", _createdAt: 2e9 }] });
  await settle();
  expect(page.shown).toEqual(["assistant: Welcome", "user: hi"]);
});
