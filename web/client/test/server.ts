// A server in memory that speaks every transport and misbehaves as told.
import { setMaxListeners } from "node:events";
import { vi } from "vitest";
import type { Batch, Gone, Item } from "../src/types.js";
import { cursorOf, timeOf } from "../src/time.js";

export interface Asked {
  transport: "connect" | "sse" | "socket" | "chatData" | "call";
  path: string;
  query: URLSearchParams;
  headers: Headers;
  body: any;
  signal: AbortSignal | undefined;
}

/** What a request meets instead of a well-behaved server. */
export interface Fault {
  /** There is no server. */
  refuse?: boolean;
  /** Answers with this. */
  answer?: Response | (() => Response);
  /** The answer's head comes, and nothing of its body. */
  buffer?: boolean;
  /** Neither the head nor anything else comes. */
  hang?: boolean;
  /** Called with each piece of the body; returns what comes of it. After "cut" the connection is broken. */
  piece?: (piece: Uint8Array, n: number) => (Uint8Array | "cut")[];
}

const bytes = (text: string) => new TextEncoder().encode(text);

export class Server {
  readonly asked: Asked[] = [];
  /** Returns what is wrong with a request, if anything. */
  fault: (asked: Asked) => Fault | undefined = () => undefined;
  heartbeat = 15_000;
  final = false;
  /** How many pieces were taken from bodies. */
  taken = 0;
  private readonly items: Item[] = [];
  private readonly open = new Set<Stream>();

  constructor() {
    vi.stubGlobal("fetch", (url: string, init: RequestInit = {}) => this.fetch(url, init));
    const server = this;
    vi.stubGlobal(
      "WebSocket",
      class {
        onopen?: () => void;
        onmessage?: (event: { data: string }) => void;
        onclose?: (event: { code: number; reason: string }) => void;
        private stream: Stream | undefined;
        constructor(readonly url: URL, protocol: string) {
          setTimeout(() => {
            const asked = server.note("socket", url, {}, protocol);
            const fault = server.fault(asked);
            if (fault?.refuse) return this.end(1006, "");
            this.onopen?.();
          }, 1);
        }
        send(text: string) {
          const command = JSON.parse(text);
          server.asked.at(-1)!.body = command;
          this.onmessage?.({ data: JSON.stringify({ ack: command.id }) });
          const starts = command.subscribe.map((s: any) => ({ id: s.workflow, after: s.after, last: s.last }));
          this.stream = server.stream(starts, command.types, (batch) => bytes(JSON.stringify(batch)));
          void this.pump(this.stream, server.fault(server.asked.at(-1)!));
        }
        private async pump(stream: Stream, fault: Fault | undefined) {
          for (let n = 0; ; n++) {
            const piece = await stream.next();
            if (!piece) return this.end(1012, "the server is stopping");
            for (const part of fault?.piece?.(piece, n) ?? [piece]) {
              if (part === "cut") return this.end(1006, "");
              if (this.stream) this.onmessage?.({ data: new TextDecoder().decode(part) });
            }
          }
        }
        close() {
          this.stream?.close();
          this.stream = undefined;
        }
        private end(code: number, reason: string) {
          this.close();
          this.onclose?.({ code, reason });
        }
      },
    );
  }

  get streams(): number {
    return this.open.size;
  }

  /** Commits an item. */
  write(workflow: string, type: string, body: object, id = `${type}_${this.items.length}`): Item {
    const createdAt = cursorOf(timeOf(1795311746 + this.items.length + 0.201564));
    const item = { type, createdAt, item: { id, workflowId: workflow, ...body, _createdAt: createdAt } } as unknown as Item;
    this.items.push(item);
    for (const stream of this.open) stream.wake();
    return item;
  }

  log(workflow: string, message: string): Item {
    return this.write(workflow, "log", { level: "info", message });
  }

  /** Tells every stream something besides items. */
  tell(batch: Partial<Batch>): void {
    for (const stream of this.open) stream.tell({ gone: [], anew: [], items: [], upToDate: true, final: false, ...batch });
  }

  /** Closes all workflows. */
  close(): void {
    this.final = true;
    for (const stream of this.open) stream.wake();
  }

  /** Breaks every connection. */
  cut(): void {
    for (const stream of this.open) stream.close();
  }

  private note(transport: Asked["transport"], url: URL, init: RequestInit, body: any): Asked {
    const asked = { transport, path: url.pathname, query: url.searchParams, headers: new Headers(init.headers), body, signal: init.signal ?? undefined };
    this.asked.push(asked);
    return asked;
  }

  private async fetch(text: string, init: RequestInit): Promise<Response> {
    const url = new URL(text, "http://page.example");
    const transport = url.pathname.endsWith("/Subscribe") ? "connect" : url.pathname === "/events" ? "sse" : url.pathname.endsWith("/chatData") ? "chatData" : "call";
    const body = init.body instanceof Uint8Array ? JSON.parse(new TextDecoder().decode(init.body.subarray(transport === "connect" ? 5 : 0))) : init.body ? JSON.parse(String(init.body)) : undefined;
    const asked = this.note(transport, url, init, body);
    if (init.signal?.aborted) throw init.signal.reason;
    if (init.signal) setMaxListeners(0, init.signal); // a connection's, of which each request adds one
    const fault = this.fault(asked);
    const aborted = new Promise<never>((_, reject) => init.signal?.addEventListener("abort", () => reject(init.signal!.reason)));
    aborted.catch(() => {});
    if (fault?.refuse) throw new TypeError("fetch failed");
    if (fault?.hang) return aborted;
    if (fault?.answer) return typeof fault.answer === "function" ? fault.answer() : fault.answer.clone();
    if (transport === "call") return Response.json({});
    if (transport === "chatData") return Promise.race([this.chatData(asked), aborted]);
    const connect = transport === "connect";
    const afters = asked.query.getAll("after");
    const starts: Start[] = connect
      ? body.cursors.map((c: any) => ({ id: c.workflowId, after: c.after && cursorOf(c.after), last: c.last }))
      : asked.query.getAll("workflow").map((id, i) => ({ id, after: afters[i] ? Number(afters[i]) : undefined, last: Number(asked.query.get("last")) || undefined }));
    const stream = this.stream(starts, connect ? body.types : asked.query.get("types")?.split(","), connect ? envelopes : events());
    return new Response(this.body(stream, fault, init.signal ?? undefined), {
      headers: { "Content-Type": connect ? "application/connect+json" : "text/event-stream" },
    });
  }

  private body(stream: Stream, fault: Fault | undefined, signal: AbortSignal | undefined): ReadableStream<Uint8Array> {
    let n = 0;
    const parts: (Uint8Array | "cut")[] = [];
    let broken = false;
    return new ReadableStream<Uint8Array>(
      {
        start(controller) {
          signal?.addEventListener("abort", () => {
            stream.close();
            if (!broken) controller.error(signal.reason);
            broken = true;
          });
        },
        pull: async (controller) => {
          if (fault?.buffer) return new Promise(() => {});
          while (!parts.length) {
            const piece = await stream.next();
            if (broken) return;
            if (!piece) {
              broken = true;
              return controller.error(new TypeError("terminated"));
            }
            parts.push(...(fault?.piece?.(piece, n++) ?? [piece]));
          }
          const part = parts.shift()!;
          if (part === "cut") {
            broken = true;
            stream.close();
            return controller.error(new TypeError("terminated"));
          }
          this.taken++;
          controller.enqueue(part);
        },
        cancel: () => stream.close(),
      },
      { highWaterMark: 0 },
    );
  }

  private stream(starts: Start[], types: string[] | undefined, encode: (batch: Batch) => Uint8Array): Stream {
    const stream = new Stream(this, starts, types, encode, () => this.open.delete(stream));
    this.open.add(stream);
    return stream;
  }

  after(start: Start, types: string[] | undefined): Item[] {
    const all = this.items.filter(({ type, item }) => item.workflowId === start.id && (!types || types.includes(type)));
    if (start.after !== undefined) return all.filter((item) => item.createdAt > start.after!);
    return start.last ? all.slice(-start.last) : all;
  }

  private async chatData(asked: Asked): Promise<Response> {
    const id = decodeURIComponent(asked.path.split("/")[2]!);
    const { query } = asked;
    const after = query.get("afterTimestamp");
    const start = { id, after: after === null ? undefined : Number(after), last: Number(query.get("last")) || undefined };
    const types = query.get("types")?.split(",");
    const limit = Number(query.get("limit") ?? 1000);
    const wait = parseFloat(query.get("wait") ?? "0") * 1000;
    if (wait && !this.after(start, types).length && !this.final) {
      const stream = this.stream([{ ...start }], types, () => bytes(""));
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait);
        const change = () => (clearTimeout(timer), resolve());
        void stream.change().then(change);
        asked.signal?.addEventListener("abort", change);
      });
      stream.close();
    }
    const items = this.after(start, types);
    const upToDate = items.length <= limit;
    return Response.json({ items: items.slice(0, limit), upToDate, ...(this.final && (wait || items.length) && upToDate && { final: true }) });
  }
}

interface Start {
  id: string;
  after: number | undefined;
  last: number | undefined;
}

/** One connection's position, and what it has to be told. */
class Stream {
  private told: Batch[] = [];
  private begun = false;
  private ended = false;
  private over = false;
  private wakes = new Set<() => void>();
  constructor(
    private readonly server: Server,
    private readonly starts: Start[],
    private readonly types: string[] | undefined,
    private readonly encode: (batch: Batch) => Uint8Array,
    private readonly left: () => void,
  ) {}

  wake(): void {
    for (const wake of this.wakes) wake();
    this.wakes.clear();
  }

  tell(batch: Batch): void {
    this.told.push(batch);
    this.wake();
  }

  close(): void {
    this.ended = true;
    this.left();
    this.wake();
  }

  change(): Promise<void> {
    return new Promise((resolve) => this.wakes.add(resolve));
  }

  /** Returns the next piece: what is new, or a heartbeat. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.ended || this.over) return undefined;
      const told = this.told.shift();
      if (told) return this.encode(told);
      const items = this.starts.flatMap((start) => {
        const fresh = this.server.after(start, this.types);
        if (fresh.length) start.after = fresh.at(-1)!.createdAt;
        else if (!this.begun) start.after ??= start.last ? 0 : undefined;
        return fresh;
      });
      const first = !this.begun;
      this.begun = true;
      const final = this.server.final;
      if (final) {
        this.over = true;
        this.left();
      }
      if (items.length || first || final) return this.encode({ gone: [], anew: [], items, upToDate: true, final });
      let timer: ReturnType<typeof setTimeout> | undefined;
      const beat = new Promise<"beat">((resolve) => (timer = setTimeout(() => resolve("beat"), this.server.heartbeat)));
      const what = await Promise.race([this.change(), beat]);
      clearTimeout(timer);
      if (what === "beat" && !this.ended) return this.encode({ gone: [], anew: [], items: [], upToDate: true, final: false });
    }
  }
}

/** Frames a message as Connect does. */
export function envelope(text: string, flags = 0): Uint8Array {
  const message = bytes(text);
  const framed = new Uint8Array(message.length + 5);
  framed[0] = flags;
  new DataView(framed.buffer).setUint32(1, message.length);
  framed.set(message, 5);
  return framed;
}

function envelopes(batch: Batch): Uint8Array {
  const items = batch.items.map(({ type, createdAt, item }) => {
    const { id, workflowId, _createdAt, metadata, ...body } = item as any;
    return { workflowId, id, _createdAt: timeOf(createdAt), [type]: body, ...(metadata !== undefined && { metadata }) };
  });
  const gone = batch.gone.map((g) => ({ ...g, _createdAt: timeOf(g._createdAt) }));
  const full = envelope(JSON.stringify({ ...(items.length && { items }), upToDate: batch.upToDate, ...(gone.length && { gone }), ...(batch.anew.length && { anew: batch.anew }), ...(batch.final && { final: true }) }));
  if (!batch.final) return full;
  const end = envelope("{}", 2);
  const both = new Uint8Array(full.length + end.length);
  both.set(full);
  both.set(end, full.length);
  return both;
}

function events(): (batch: Batch) => Uint8Array {
  let upToDate = false;
  let text = "retry: 2000\n\n";
  const event = (name: string, data: unknown) => (text += `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  return (batch) => {
    batch.gone.forEach((gone) => event("gone", gone));
    batch.anew.forEach((workflowId) => event("anew", { workflowId }));
    batch.items.forEach((item) => event(item.type, item));
    if (batch.final) event("end", { final: true });
    else if (batch.upToDate !== upToDate) event("up-to-date", (upToDate = batch.upToDate));
    else if (!text) text = ": heartbeat\n\n";
    const piece = bytes(text);
    text = "";
    return piece;
  };
}
