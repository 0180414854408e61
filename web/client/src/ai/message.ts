import type { UIMessage } from "ai";
import type { ChatProgress, ChatTool } from "../fold.js";
import { close, type Part, type Turn } from "./history.js";

/** What a message is besides its parts. */
export interface ChatfeedMetadata {
  /** The status that the workflow has given the latest message, such as "complete"; empty while that is being written. */
  status: string;
  /** How far the workflow has come with it. */
  progress?: ChatProgress;
}

/** A message as `useChat` has it. Calls of tools are parts `tool-<name>`. */
export type ChatfeedUIMessage = UIMessage<ChatfeedMetadata, { progress: ChatProgress }>;

export const metadataOf = ({ status, progress }: Turn): ChatfeedMetadata => ({ status, ...(progress && { progress }) });

const made = new WeakMap<Turn, ChatfeedUIMessage>();

/** Returns a turn as the AI SDK would have made it of the chunks for it. `ended`: nothing more comes. */
export function messageOf(turn: Turn, ended = false): ChatfeedUIMessage {
  const message = (!ended && made.get(turn)) || make(turn, ended);
  if (!ended) made.set(turn, message);
  return message;
}

function make(turn: Turn, ended: boolean): ChatfeedUIMessage {
  const { id, role } = turn;
  const parts = (ended ? turn.parts.map(close) : turn.parts).map(partOf);
  return role === "assistant" ? { id, role, metadata: metadataOf(turn), parts: [{ type: "step-start" }, ...parts] } : { id, role, parts };
}

type UIPart = ChatfeedUIMessage["parts"][number];

function partOf(part: Part): UIPart {
  if (part.kind === "tool") return toolPart(part.tool, part.asked);
  const { kind, text, done } = part;
  return { type: kind, text, state: done ? "done" : "streaming" };
}

function toolPart(tool: ChatTool, asked: boolean): UIPart {
  const { callId: id, output, error } = tool;
  const state = stateOf(tool);
  const common = { type: `tool-${tool.name}`, toolCallId: id, state, input: inputOf(tool), providerExecuted: true };
  const approved = asked && { approval: { id, approved: true } };
  switch (state) {
    case "approval-requested":
      return { ...common, approval: { id } } as UIPart;
    case "output-available":
      return { ...common, output, ...approved } as UIPart;
    case "output-error":
      return { ...common, errorText: error, ...approved } as UIPart;
    case "output-denied":
      return { ...common, approval: { id, approved: false, ...(error && { reason: error }) } } as UIPart;
  }
  return { ...common, ...(state === "approval-responded" && approved) } as UIPart;
}

/** The states of a call in the order in which it may go through them. */
export const states = ["input-available", "approval-requested", "approval-responded", "output-available", "output-error", "output-denied"];

/** Returns the state of a call; one that is not known is that of a call that is being made. */
export const stateOf = ({ state }: ChatTool): string => (states.includes(state) ? state : "input-available");

export const inputOf = ({ input }: ChatTool): unknown => input ?? {};

/** Whether two values are equal, where what is undefined is absent. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || !a || !b || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]));
}

/** Whether two messages show the same. The SDK numbers a reasoning, and a message of this page may have more than the feed keeps. */
export function sameMessage(own: UIMessage, other: UIMessage): boolean {
  if (own.role !== other.role) return false;
  if (own.role !== "assistant") return textOf(own) === textOf(other);
  const parts = (of: UIMessage) => of.parts.map((part) => (part.type === "reasoning" ? { ...part, id: undefined } : part));
  return same(own.metadata, other.metadata) && same(parts(own), parts(other));
}

/** Returns the text of a message. */
export const textOf = (message: UIMessage): string => message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");
