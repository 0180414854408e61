import { call } from "./call.js";
import { Fold, type ChatMessage, type ChatProgress, type ChatTool } from "./fold.js";
import type { Batch, Feed, State } from "./types.js";

/** What is shown of a chat at one moment. It never changes; another takes its place, with the same objects for what is the same. */
export interface ChatSnapshot {
  /** In order. */
  readonly messages: readonly ChatMessage[];
  /** In the order of their first states. */
  readonly tools: readonly ChatTool[];
  readonly progress: ChatProgress | null;
  /** What the feed is doing. */
  readonly state: State;
}

/** A chat with one workflow. Its functions may be passed on without it. */
export interface Chat {
  /** Calls `listener` after each change of the snapshot, until the function that it returns is called. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Returns the same object until something changes. */
  readonly getSnapshot: () => ChatSnapshot;
  /**
   * Sends a message to the workflow and starts the workflow if it is not running. The message comes back through the feed. With an
   * `id` of the page's own, to send it again after a failure is harmless.
   */
  readonly send: (text: string, options?: { id?: string }) => Promise<{ id: string; runId: string }>;
  /** Asks the workflow to stop the answer that it is giving. */
  readonly stop: () => Promise<void>;
  /** Answers a call of a tool in the state "approval-requested". The reason is for people. */
  readonly approve: (callId: string, approved: boolean, reason?: string) => Promise<void>;
  /** Closes the feed. */
  readonly close: () => void;
}

/**
 * Puts the items of a feed together to what people are shown. The feed has to follow one workflow, with the types "message",
 * "delta", "tool" and "progress", and nothing else may iterate it.
 *
 * A batch counts as rendered when the listeners were called and the page has painted. A page that keeps the feed's cursor has to keep
 * the messages as well: what is before the cursor does not come again.
 */
export function chat(feed: Feed): Chat {
  const [workflowId, ...others] = feed.workflows;
  if (workflowId === undefined || others.length) throw new TypeError("chat: a feed that follows one workflow is accepted");

  let fold = new Fold();
  const apply = ({ gone, anew, items }: Batch) => {
    for (const one of gone) if (one.workflowId === workflowId) fold.remove(one);
    if (anew.includes(workflowId)) fold = new Fold();
    for (const item of items) if (item.item.workflowId === workflowId) fold.add(item);
  };

  const look = (): ChatSnapshot => ({ messages: fold.messages, tools: fold.tools, progress: fold.progress, state: feed.state });
  let snapshot = look();
  const changes = new EventTarget(); // a listener that throws harms no other, and not the feed
  const changed = () => {
    const was = snapshot;
    const now = look();
    if (was.messages === now.messages && was.tools === now.tools && was.progress === now.progress && was.state === now.state) return false;
    snapshot = now;
    return changes.dispatchEvent(new Event("change"));
  };
  const leave = feed.subscribe(changed);
  const run = async () => {
    try {
      for await (const batch of feed) {
        apply(batch);
        if (changed()) await painted();
      }
    } catch (error) {
      if (feed.state.status !== "failed") throw error; // else the snapshot says what has happened
    } finally {
      leave();
    }
  };
  void run();

  const ask = (method: string, message: object = {}) => call(feed, `ChatService/${method}`, { workflowId, ...message });
  return {
    subscribe(listener) {
      const on = () => listener();
      changes.addEventListener("change", on);
      return () => changes.removeEventListener("change", on);
    },
    getSnapshot: () => snapshot,
    send: (text, { id } = {}) => ask("SendMessage", { text, id }),
    stop: async () => void (await ask("StopAnswer")),
    approve: async (callId, approved, reason) => void (await ask("AnswerApproval", { callId, approved, reason })),
    close: () => feed.close(),
  };
}

/** Resolves when the page has painted, or soon where nothing is: it is in the background. Outside of a page it does not wait. */
function painted(): Promise<void> | undefined {
  if (!globalThis.requestAnimationFrame) return;
  return new Promise((resolve) => {
    const go = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      resolve();
    };
    const frame = requestAnimationFrame(go);
    const timer = setTimeout(go, 100);
  });
}
