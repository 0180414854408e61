// Uses every subpath of the package as a page in strict TypeScript does. It is compiled against the packed package.
import { chat, FeedError, follow, sessionCursor, type Chat, type Item, type State } from "@chatfeed/client";
import { cursorOf, FeedService, feedTransport, timestampOf } from "@chatfeed/client/connect";
import { useSnapshot, useWorkflow } from "@chatfeed/client/react";
import { share } from "@chatfeed/client/tabs";
import { scripted } from "@chatfeed/client/testing";
import { createClient } from "@connectrpc/connect";

export async function read(url: string): Promise<State> {
  const feed = follow(url, { workflows: ["order-7"], after: sessionCursor("order-7"), token: async () => "token" });
  for await (const { items } of feed) items.forEach(show);
  return feed.state;
}

function show(item: Item): string {
  if (item.type === "stat") return `${item.item.tokenCount + 1} tokens`;
  // @ts-expect-error: a log has no tokens
  if (item.type === "log") return `${item.item.tokenCount}`;
  return item.item.workflowId;
}

export const view: Chat = chat(scripted([{ items: [{ type: "log", item: { message: "one" } }] }, { drop: "gone" }, { end: new FeedError("unknown", "no") }]));

export const shared: Chat = chat(share("", { name: "user-1", workflows: ["order-7"], types: ["message", "delta", "tool", "progress"] }));

export async function* typed(url: string): AsyncGenerator<number> {
  const client = createClient(FeedService, feedTransport(url));
  const cursors = [{ workflowId: "order-7", start: { case: "after" as const, value: timestampOf(1795311746.201564) } }];
  for await (const { items } of client.subscribe({ cursors })) for (const { createdAt } of items) if (createdAt) yield cursorOf(createdAt);
}

export function Page() {
  const { messages, send } = useWorkflow("https://feed.example", "order-7", { last: 100 });
  return <button onClick={() => send("Hi")}>{messages.length + useSnapshot(view).tools.length}</button>;
}
