import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { chat, type Chat, type ChatSnapshot } from "./chat.js";
import { follow } from "./follow.js";
import type { Options } from "./types.js";

/** What is known of a chat, and what can be done. The functions stay the same while the workflow does. */
export type Workflow = ChatSnapshot & Pick<Chat, "send" | "stop" | "approve">;

/** Options of `follow` for one workflow. They count when the connection is opened; `token` is the latest one each time. */
export type WorkflowOptions = Pick<Options, "last" | "token" | "transport">;

const types = ["message", "delta", "tool", "progress"] as const;
const none: ChatSnapshot = { messages: [], tools: [], progress: null, state: { status: "idle" } };

/** Returns the snapshot of a chat that lives outside of components, and renders again when it changes. */
export function useSnapshot(chat: Chat): ChatSnapshot {
  return useSyncExternalStore(chat.subscribe, chat.getSnapshot, chat.getSnapshot);
}

/**
 * Follows a workflow of the server at `url` while the component is mounted, and renders again when something changes. Each component that
 * calls it has a connection of its own; where several show the same, call it in one above them, or share a `chat` by `useSnapshot`.
 */
export function useWorkflow(url: string, workflow: string, options: WorkflowOptions = {}): Workflow {
  const latest = useRef(options);
  useEffect(() => {
    latest.current = options;
  });
  const store = useMemo(() => open(() => start(url, workflow, latest.current, () => latest.current.token!())), [url, workflow]);
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, () => none);
  return useMemo(() => ({ ...snapshot, send: store.send, stop: store.stop, approve: store.approve }), [store, snapshot]);
}

function start(url: string, workflow: string, { last, token, transport }: WorkflowOptions, latest: () => string | Promise<string>): Chat {
  const given = { ...(last !== undefined && { last }), ...(transport && { transport }), ...(token && { token: latest }) };
  return chat(follow(url, { workflows: [workflow], types, ...given }));
}

/** A chat that is there while somebody listens. React's strict mode leaves and comes back. */
function open(make: () => Chat): Omit<Chat, "close"> {
  let chat: Chat | undefined;
  let listening = 0;
  const there = () => {
    if (!chat) throw new Error("the component is not mounted");
    return chat;
  };
  return {
    subscribe(listener) {
      if (listening++ === 0) chat = make();
      const leave = chat!.subscribe(listener);
      return () => {
        leave();
        if (--listening > 0) return;
        chat!.close();
        chat = undefined;
      };
    },
    getSnapshot: () => chat?.getSnapshot() ?? none,
    send: async (...message) => there().send(...message),
    stop: async () => there().stop(),
    approve: async (...answer) => there().approve(...answer),
  };
}
