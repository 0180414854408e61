import type { ChatTransport, UIMessage, UIMessageChunk } from "ai";
import { call } from "../call.js";
import { FeedError } from "../errors.js";
import type { Cursor, Options } from "../types.js";
import { merge, update, type AnyChat } from "./attach.js";
import { messageOf, same, textOf, type ChatfeedUIMessage } from "./message.js";
import { Response } from "./response.js";
import { Session } from "./session.js";

export interface TransportOptions extends Pick<Options, "token" | "transport"> {
  /** The server, which may be "" for the page's own. */
  url: string;
  /**
   * Tabs with the same name that show the same chat share one connection; see `share`. It has to differ between viewers, such as the id of
   * the user.
   */
  share?: string;
}

type Send<Message extends UIMessage> = Parameters<ChatTransport<Message>["sendMessages"]>[0];

/**
 * Connects `useChat` with workflows: the chat's id is the workflow's. Make it once, outside of what is rendered.
 *
 * The workflow has to record each message of the user under its id, and its progress when it is done; see the page of the
 * documentation about the AI SDK.
 */
export class ChatfeedTransport<Message extends UIMessage = ChatfeedUIMessage> implements ChatTransport<Message> {
  /** A response to a resume begins each message anew. */
  readonly resumeStreamIsReplay = true;
  readonly #url: string;
  readonly #options: Omit<TransportOptions, "url">;
  readonly #sessions = new Map<string, Session>();
  readonly #given = new Map<string, Cursor>(); // what the page has been given of a workflow

  constructor({ url, ...options }: TransportOptions) {
    this.#url = url;
    this.#options = options;
  }

  /** Sends the user's message to the workflow, or the answers to its requests for approval, and returns what it makes of that. */
  sendMessages = async (request: Send<Message>): Promise<ReadableStream<UIMessageChunk>> => {
    const session = this.#open(request.chatId);
    const response = new Response(session);
    const sent = { any: false };
    this.#stopWith(request.abortSignal, session, response, () => sent.any);
    try {
      await session.ready(request.abortSignal);
      const last = request.messages.findIndex(({ id }) => id === request.messageId);
      const message = request.messages.at(request.trigger === "submit-message" && last >= 0 ? last : -1);
      if (!message) throw new TypeError("sendMessages: a message of the user, or an assistant's with answers to requests for approval, is accepted");
      if (message.role === "assistant") return await this.#approve(request, message, session, response, sent);
      return await this.#say(request, session, response, sent);
    } catch (error) {
      response.leave();
      throw error;
    }
  };

  /** Sends the messages of the user at the end that the workflow does not have. */
  async #say({ messages, abortSignal }: Send<Message>, session: Session, response: Response, sent: { any: boolean }) {
    const { history } = session;
    const end = messages.slice(messages.findLastIndex(({ role }) => role !== "user") + 1);
    const stream = response.begin({ asked: end.at(-1)!.id, after: 0 });
    for (const message of end) {
      const had = history.turn(message.id);
      if (had && textOf(messageOf(had)) !== textOf(message)) throw new TypeError("sendMessages: a message that was sent cannot be changed; send another");
      if (message.parts.some(({ type }) => type !== "text")) throw new TypeError("sendMessages: a message with text only is accepted");
      if (!had) await this.#call(session, "SendMessage", { text: textOf(message), id: message.id }, abortSignal, sent);
    }
    sent.any = true;
    return stream;
  }

  /** Sends the answers that the user has given to requests for approval. */
  async #approve({ abortSignal }: Send<Message>, message: Message, session: Session, response: Response, sent: { any: boolean }) {
    const { history } = session;
    const after = history.steps.at(-1)?.at ?? 0;
    const stream = response.begin({ asked: history.asked?.id, after: session.running ? history.after : after, continues: message.id });
    const asked = new Set(history.turn(message.id)?.parts.flatMap((part) => (part.kind === "tool" && part.tool.state === "approval-requested" ? part.tool.callId : [])));
    for (const part of message.parts) {
      if (!("toolCallId" in part) || part.state !== "approval-responded" || !asked.has(part.toolCallId)) continue;
      const { approved, reason } = part.approval;
      await this.#call(session, "AnswerApproval", { callId: part.toolCallId, approved, ...(reason && { reason }) }, abortSignal, sent);
    }
    if (!sent.any && !session.running) throw new TypeError("sendMessages: there is nothing to send; the workflow does not wait for an answer");
    return stream;
  }

  /** Calls the server. While the feed has no connection either, it is tried again with the next. */
  async #call(session: Session, method: string, message: object, signal: AbortSignal | undefined, sent: { any: boolean }): Promise<void> {
    const { detached } = session;
    for (;;) {
      try {
        await call(session.feed, `ChatService/${method}`, { workflowId: session.workflow, ...message });
        if (signal?.aborted && !sent.any && session.detached === detached) this.#stop(session); // it was too late not to send
        sent.any = true;
        return signal?.throwIfAborted();
      } catch (error) {
        const { status } = session.feed.state;
        if (!(error instanceof FeedError) || error.fatal || status === "live" || session.ended) throw error;
        await session.live(signal);
      }
    }
  }

  /**
   * Returns what the page has missed: every message since it was last given one, and at least the latest, until the workflow is done.
   * It is null if there is none, or if the chat is attached and has all of them.
   */
  reconnectToStream = async ({ chatId, abortSignal }: { chatId: string; abortSignal?: AbortSignal }): Promise<ReadableStream<UIMessageChunk> | null> => {
    const session = this.#open(chatId);
    const response = new Response(session);
    session.resumed++;
    let begun = false;
    this.#stopWith(abortSignal, session, response, () => begun);
    try {
      await session.ready(abortSignal);
      const { history, attached, running } = session;
      const asked = history.asked?.id;
      const all = history.since(undefined, 0);
      if (!running && (attached || !all.length)) {
        response.leave();
        return null;
      }
      begun = true;
      const newest = Math.max(0, ...all.map(({ at }) => at));
      const given = this.#given.get(chatId) ?? all.at(-1)?.at ?? 0;
      if (!attached) this.#given.set(chatId, newest);
      // An attached chat has the rest.
      const from = history.since(asked, history.after)[0]?.at ?? newest + 1e-6;
      return response.begin({ asked, after: history.after, from: attached ? from : given });
    } catch (error) {
      response.leave();
      throw error;
    }
  };

  /**
   * Keeps a chat the same as its workflow, until the function that it returns is called: with all that was said before, messages from
   * other devices, and answers that were begun elsewhere. It goes on by itself after a reload; `resume` is not needed.
   */
  attach(chat: AnyChat<Message>): () => void {
    const session = this.#open(chat.id);
    const known = new Set<string>();
    let resuming = false;
    let shown: unknown;
    const changed = (again = false) => {
      if (!session.read) return;
      const claimed = new Set([...session.responses].flatMap(({ ids }) => ids));
      const feed = session.history.turns.map((turn) => messageOf(turn, !!session.ended)) as unknown as Message[];
      const look = feed.map((message) => (claimed.has(message.id) ? message.id : message));
      if (again || !same(look, shown)) update(chat, (own) => merge(own, feed, claimed, known));
      shown = look;
      if (!session.running || session.responses.size || session.aborting || resuming) return;
      resuming = true;
      void chat.resumeStream().finally(() => (resuming = false));
    };
    const detach = session.attach(changed);
    changed();
    return detach;
  }

  /** Ends every stream and detaches every chat. */
  close = (): void => {
    for (const session of [...this.#sessions.values()]) session.feed.close();
    this.#sessions.clear();
  };

  #open(chatId: string): Session {
    const had = this.#sessions.get(chatId);
    if (had && !had.ended) return had;
    const session = new Session(this.#url, this.#options, chatId, () => {
      if (this.#sessions.get(chatId) === session) this.#sessions.delete(chatId);
    });
    this.#sessions.set(chatId, session);
    return session;
  }

  /**
   * Stops the workflow's answer when the user stops a response. The SDK aborts responses for other reasons, too: a component was
   * taken away, or it resumes once more. Both are known when what it does now is done.
   */
  #stopWith(signal: AbortSignal | undefined, session: Session, response: Response, begun: () => boolean): void {
    const abort = () => {
      const { detached, resumed } = session;
      session.aborting++;
      setTimeout(() => {
        const stopped = begun() && session.detached === detached && session.resumed === resumed;
        session.aborting--;
        if (stopped) this.#stop(session);
        response.leave();
        session.leave();
      });
    };
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
  }

  #stop(session: Session): void {
    session.stop();
    void call(session.feed, "ChatService/StopAnswer", { workflowId: session.workflow }).catch(() => {}); // it may be over
  }
}
