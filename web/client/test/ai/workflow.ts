// A workflow that does what a test tells it, behind the server in memory.
import type { UIMessage } from "ai";
import { Chat } from "@ai-sdk/react";
import { ChatfeedTransport, type ChatfeedUIMessage } from "../../src/ai/index.js";
import { Server, type Asked, type Fault } from "../server.js";

export class Workflow {
  readonly server = new Server();
  readonly sent: string[] = [];
  readonly approvals: { callId: string; approved?: boolean; reason?: string }[] = [];
  stops = 0;
  /** Returns what is wrong with a request, if anything. */
  fault: (asked: Asked) => Fault | undefined = () => undefined;
  /** It records the messages that it is sent. */
  records = true;
  /** Messages that are complete: the deltas are deleted with them. */
  readonly #whole = new Set<string>();
  #lengths = new Map<string, number>();

  constructor(readonly id = "wf_1") {
    const { server } = this;
    const all = server.after.bind(server);
    server.after = (...from) => all(...from).filter((item) => item.type !== "delta" || !this.#whole.has(item.item.messageId));
    server.fault = (asked) => this.fault(asked) ?? (asked.transport === "call" ? { answer: () => this.#call(asked) } : undefined);
  }

  #call({ path, body }: Asked): Response {
    if (body.workflowId !== this.id) throw new Error(`a call to ${body.workflowId}`);
    const method = path.split("/").at(-1);
    if (method === "SendMessage") {
      this.sent.push(body.id);
      if (this.records) this.user(body.text, body.id);
    }
    if (method === "StopAnswer") this.stops++;
    if (method === "AnswerApproval") this.approvals.push({ callId: body.callId, approved: body.approved, reason: body.reason });
    return Response.json(method === "SendMessage" ? { id: body.id, runId: "run" } : {});
  }

  user(text: string, id: string): void {
    this.server.write(this.id, "message", { message: text, role: "user", status: "received" }, id);
    this.progress(0, "reading");
  }

  /** Adds to a message that is being written. */
  say(messageId: string, delta: string, { attempt = 1, part = 1, kind = "text" } = {}): void {
    const key = `${messageId}:${attempt}:${part}`;
    const at = this.#lengths.get(key) ?? 0;
    this.#lengths.set(key, at + [...delta].length);
    this.server.write(this.id, "delta", { messageId, attempt, part, kind, at, delta }, `${key}:${at}`);
  }

  think(messageId: string, delta: string, attempt = 1): void {
    this.say(messageId, delta, { attempt, part: 0, kind: "reasoning" });
  }

  /** Completes a message. */
  message(id: string, message: string, { role = "assistant", status = "complete", replaces = "" } = {}): void {
    this.#whole.add(id);
    this.server.write(this.id, "message", { message, role, status, ...(replaces && { replaces }) }, id);
  }

  tool(callId: string, messageId: string, state: string, more: object = {}): void {
    this.server.write(this.id, "tool", { callId, messageId, name: "search", state, input: null, output: null, error: "", ...more }, `${callId}:${state}`);
  }

  progress(progress: number, status: string, result = ""): void {
    this.server.write(this.id, "progress", { progress, status, result, final: false });
  }

  done(status = "complete"): void {
    this.progress(100, status);
  }
}

/** A page: a chat of the AI SDK with a transport of its own. */
export class Page {
  readonly transport: ChatfeedTransport;
  readonly chat: Chat<ChatfeedUIMessage>;
  readonly statuses: string[] = [];
  readonly data: unknown[] = [];
  readonly detach: () => void;

  constructor({ attached = true, messages = [], share, ...options }: { attached?: boolean; messages?: ChatfeedUIMessage[]; id?: string; share?: string } & Record<string, unknown> = {}) {
    this.transport = new ChatfeedTransport({ url: "http://feed.example", ...(share && { share }) });
    this.chat = new Chat<ChatfeedUIMessage>({
      id: "wf_1",
      transport: this.transport,
      messages,
      onData: ({ data }) => void this.data.push(data),
      ...options,
    });
    this.chat["~registerStatusCallback"](() => void this.statuses.push(this.chat.status));
    this.detach = attached ? this.transport.attach(this.chat) : () => {};
  }

  /** What is on the screen, one line for a message. */
  get shown(): string[] {
    return this.chat.messages.map(look);
  }
}

/** A message as a person sees it. A part that is still being written ends with "…". */
export function look({ role, parts }: UIMessage): string {
  const texts = parts.flatMap((part) => {
    if (part.type === "text") return part.text + (part.state === "streaming" ? "…" : "");
    if (part.type === "reasoning") return `(${part.text}${part.state === "streaming" ? "…" : ""})`;
    if ("toolCallId" in part) return `[${part.type} ${part.state}]`;
    return [];
  });
  return `${role}: ${texts.join(" ")}`;
}
