import type { UIMessageChunk } from "ai";
import type { Part, Turn } from "./history.js";
import { inputOf, metadataOf, same, stateOf } from "./message.js";

/**
 * Writes a turn as chunks of the AI SDK. What the SDK has made of the earlier chunks is known here, so a turn may be given at any
 * time: what can be made of the shown by adding is added, and anything else (a retry, an edit, an erasure) is written anew after a
 * `reset-step`. All of a turn is one step, so that this is all of it.
 */
export class Writer {
  #shown: Part[] = [];
  #metadata: unknown;

  /** `continues` says that the SDK goes on with the message that it has, and not with an empty one. */
  constructor(
    readonly id: string,
    private readonly continues: boolean,
  ) {}

  write(turn: Turn): UIMessageChunk[] {
    const chunks: UIMessageChunk[] = [];
    const metadata = metadataOf(turn);
    if (!this.#metadata) {
      chunks.push({ type: "start", messageId: this.id, messageMetadata: metadata }, { type: this.continues ? "reset-step" : "start-step" });
    } else if (!same(metadata, this.#metadata)) {
      chunks.push({ type: "message-metadata", messageMetadata: metadata });
    }
    this.#metadata = metadata;
    if (!this.#shown.every((part, i) => grows(part, turn.parts[i]))) {
      this.#shown = [];
      chunks.push({ type: "reset-step" });
    }
    turn.parts.forEach((part, i) => chunks.push(...change(this.#shown[i], part)));
    this.#shown = [...turn.parts];
    return chunks;
  }

  /** Returns what closes the parts that are still open: nothing more comes of them. */
  end(): UIMessageChunk[] {
    return this.#shown.flatMap((part): UIMessageChunk[] => (part.kind === "tool" || part.done ? [] : [{ type: `${part.kind}-end`, id: part.key }]));
  }

  /** Takes everything off the screen: the turn was erased. */
  erase(): UIMessageChunk[] {
    this.#shown = [];
    return [{ type: "reset-step" }];
  }
}

/** Whether a part that is shown can be made another one by adding to it. */
function grows(was: Part, now: Part | undefined): boolean {
  if (was === now) return true;
  if (!now || now.key !== was.key) return false;
  if (now.kind !== "tool" && was.kind === now.kind) return now.text.startsWith(was.text) && !(was.done && (now.text !== was.text || !now.done));
  if (now.kind !== "tool" || was.kind !== "tool" || now.tool.name !== was.tool.name || (was.asked && !now.asked)) return false;
  const before = ranks[stateOf(was.tool)]!;
  const after = ranks[stateOf(now.tool)]!;
  if (after === before) return same(was, now);
  return after > before && same(inputOf(was.tool), inputOf(now.tool));
}

/** How far a call has come. */
const ranks: Record<string, number> = {
  "input-available": 0,
  "approval-requested": 1,
  "approval-responded": 2,
  "output-available": 3,
  "output-error": 3,
  "output-denied": 3,
};

/** Returns the chunks that make a part that is shown, or nothing, another. */
function change(was: Part | undefined, now: Part): UIMessageChunk[] {
  if (was === now) return [];
  if (now.kind === "tool") return call(was as typeof now | undefined, now);
  const { kind, key: id, text, done } = now;
  const shown = was?.kind === kind ? was : undefined;
  const chunks: UIMessageChunk[] = shown ? [] : [{ type: `${kind}-start`, id }];
  const delta = text.slice(shown?.text.length ?? 0);
  if (delta) chunks.push({ type: `${kind}-delta`, id, delta });
  if (done && !shown?.done) chunks.push({ type: `${kind}-end`, id });
  return chunks;
}

function call(was: Extract<Part, { kind: "tool" }> | undefined, now: Extract<Part, { kind: "tool" }>): UIMessageChunk[] {
  const { tool, asked } = now;
  const { callId: toolCallId, name: toolName, error } = tool;
  const state = stateOf(tool);
  const chunks: UIMessageChunk[] = [];
  // It runs in the workflow, and not in the page.
  if (!was) chunks.push({ type: "tool-input-available", toolCallId, toolName, input: inputOf(tool), providerExecuted: true });
  if (was && stateOf(was.tool) === state && was.asked === asked) return chunks;
  const denied = state === "output-denied";
  const before = was ? ranks[stateOf(was.tool)]! : 0;
  const approval = denied || (asked && ranks[state]! > 0);
  if (approval && before < 1) chunks.push({ type: "tool-approval-request", approvalId: toolCallId, toolCallId });
  if (approval && before < 2 && state !== "approval-requested") {
    const reason = denied && error ? { reason: error } : {};
    chunks.push({ type: "tool-approval-response", approvalId: toolCallId, approved: !denied, ...reason });
  }
  if (state === "output-available") chunks.push({ type: "tool-output-available", toolCallId, output: tool.output, providerExecuted: true });
  if (state === "output-error") chunks.push({ type: "tool-output-error", toolCallId, errorText: error, providerExecuted: true });
  if (denied) chunks.push({ type: "tool-output-denied", toolCallId });
  return chunks;
}
