import type { UIMessage } from "ai";
import { sameMessage } from "./message.js";

/** A chat of the AI SDK: what `useChat` returns, or a `Chat`. */
export type AnyChat<Message extends UIMessage> = {
  readonly id: string;
  resumeStream: () => Promise<void>;
} & ({ setMessages: (change: (messages: Message[]) => Message[]) => void } | { messages: Message[] });

export function update<Message extends UIMessage>(chat: AnyChat<Message>, change: (messages: Message[]) => Message[]): void {
  if ("setMessages" in chat) chat.setMessages(change);
  else chat.messages = change(chat.messages);
}

/**
 * Returns the messages of the feed, in its order, with what only the page has: messages that are being sent are at the end, and those
 * that the page has begun with, such as a greeting, at the beginning. `claimed` are those that the SDK is writing, and `known` those
 * that were in the feed before.
 */
export function merge<Message extends UIMessage>(own: readonly Message[], feed: readonly Message[], claimed: Set<string>, known: Set<string>): Message[] {
  const mine = new Map(own.map((message) => [message.id, message]));
  for (const { id } of feed) known.add(id);
  const first = own.findIndex(({ id }) => known.has(id));
  const others = own.filter(({ id }) => !known.has(id));
  const early = others.filter((message) => (first < 0 ? message.role !== "user" : own.indexOf(message) < first));
  const shared = feed.flatMap((message) => {
    const had = mine.get(message.id);
    if (claimed.has(message.id)) return had ?? [];
    return had && sameMessage(had, message) ? had : message;
  });
  return [...early, ...shared, ...others.filter((message) => !early.includes(message))];
}
