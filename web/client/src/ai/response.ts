import type { UIMessageChunk } from "ai";
import type { Cursor } from "../types.js";
import { failures, type Turn } from "./history.js";
import type { Session } from "./session.js";
import { same } from "./message.js";
import { Writer } from "./writer.js";

/** What a response is about. */
export interface About {
  /** The message of the user whose answer it is. Without one it is what the workflow says by itself. */
  asked: string | undefined;
  /** Only what ends later ends the response. */
  after: Cursor;
  /** The message that the SDK goes on with. */
  continues?: string;
  /** It may have several messages: those with something of this time or later. Else it is the answer to `asked`. */
  from?: Cursor;
}

/**
 * One response to the SDK, as a stream of chunks until the workflow is done. They are made when the SDK asks for them, of what has
 * come until then. So a broken connection is nothing but a pause, and a page that is slow is given fewer and larger pieces.
 */
export class Response {
  readonly stream: ReadableStream<UIMessageChunk>;
  #about: About | undefined;
  #writer: Writer | undefined;
  #progress: unknown;
  #was = false; // it was over before it began
  #over = false;
  #left = false;

  constructor(private readonly session: Session) {
    session.responses.add(this);
    this.stream = new ReadableStream<UIMessageChunk>(
      {
        pull: (controller) => this.#pull(controller),
        cancel: () => this.leave(),
      },
      { highWaterMark: 0 }, // so that it ends only after the SDK has shown all of it
    );
  }

  /** The ids of the messages that it writes or is about to, which belong to the SDK until it ends. */
  get ids(): string[] {
    return this.#about ? [...(this.#writer ? [this.#writer.id] : []), ...this.#turns().map(({ id }) => id)] : [];
  }

  begin(about: About): ReadableStream<UIMessageChunk> {
    this.#about = about;
    this.#was = about.from !== undefined && !this.session.running;
    if (about.continues) this.#writer = new Writer(about.continues, true);
    return this.stream;
  }

  /** The SDK reads no more. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.session.responses.delete(this);
    this.session.leave();
  }

  async #pull(controller: ReadableStreamDefaultController<UIMessageChunk>): Promise<void> {
    for (;;) {
      if (this.#left) return;
      const chunks = this.#over ? [] : this.#next();
      for (const chunk of chunks) controller.enqueue(chunk);
      if (chunks.length) return;
      if (this.#over) {
        const error = this.session.ended?.error;
        if (error) controller.error(error);
        else controller.close();
        return this.leave();
      }
      await this.session.change();
    }
  }

  #next(): UIMessageChunk[] {
    const { history, ended } = this.session;
    const { asked, after } = this.#about!;
    const chunks: UIMessageChunk[] = [];
    const progress = history.steps.at(-1);
    if (progress && progress.at > after && progress !== this.#progress && !this.#was) {
      this.#progress = progress;
      chunks.push({ type: "data-progress", data: progress.shown, transient: true });
    }
    for (const turn of this.#turns()) {
      if (turn.id !== this.#writer?.id) {
        chunks.push(...(this.#writer?.end() ?? []));
        this.#writer = new Writer(turn.id, false);
      }
      chunks.push(...this.#writer.write(turn));
    }
    if (this.#writer && !history.turn(this.#writer.id)) {
      chunks.push(...this.#writer.erase());
      this.#over = true;
    }
    this.#over ||= this.#was || ended !== undefined || history.over(asked, after);
    if (this.#over && !ended?.error) chunks.push(...this.#end());
    return chunks;
  }

  /** What there is to write: the turn that is being written, and what follows. */
  #turns(): readonly Turn[] {
    const { history } = this.session;
    const { asked, from, continues } = this.#about!;
    const current = this.#writer && history.turn(this.#writer.id);
    if (from === undefined) {
      const turn = continues || this.#writer ? current : asked === undefined ? undefined : history.answer(asked);
      return turn ? [turn] : [];
    }
    const all = history.turns.filter(({ role }) => role === "assistant");
    return current ? all.slice(all.indexOf(current)) : all.filter(({ at }) => at >= from);
  }

  #end(): UIMessageChunk[] {
    const { history } = this.session;
    const chunks = this.#writer?.end() ?? [];
    const progress = history.steps.at(-1)?.shown;
    const failed = progress && failures.get(progress.status);
    if (failed && !this.#was) {
      const { failure, asked } = history;
      const errorText = (failure.at > (asked?.since ?? 0) && failure.text) || progress.result || failed;
      return [...chunks, { type: "error", errorText }];
    }
    if (!this.#writer) return chunks;
    const waits = progress?.status === "waiting";
    return [...chunks, { type: "finish", finishReason: waits ? "tool-calls" : "stop" }];
  }
}
