// The locks and channels of a browser, shared by the feeds of a test as by tabs.
import { vi } from "vitest";

interface Waiting {
  name: string;
  call: (lock: object | null) => unknown;
  settle: (result: unknown) => void;
  fail: (reason: unknown) => void;
}

export class Browser {
  /** What becomes of the notes between tabs: it may be lost. */
  lose: (note: any) => boolean = () => false;
  private readonly channels = new Set<{ name: string; onmessage?: (event: { data: unknown }) => void }>();
  private readonly held = new Map<string, Waiting>();
  private queue: Waiting[] = [];

  constructor() {
    const browser = this;
    vi.stubGlobal("navigator", { locks: { request: (...args: Parameters<Browser["request"]>) => this.request(...args) } });
    vi.stubGlobal(
      "BroadcastChannel",
      class {
        onmessage?: (event: { data: unknown }) => void;
        constructor(readonly name: string) {
          browser.channels.add(this);
        }
        postMessage(note: unknown) {
          if (browser.lose(note)) return;
          const copy = structuredClone(note);
          for (const other of browser.channels) {
            if (other !== this && other.name === this.name) setTimeout(() => browser.channels.has(other) && other.onmessage?.({ data: copy }), 1);
          }
        }
        close() {
          browser.channels.delete(this);
        }
      },
    );
  }

  /** How many feeds listen. */
  get listening(): number {
    return this.channels.size;
  }

  get names(): string[] {
    return [...this.held.keys()];
  }

  request(name: string, options: { ifAvailable?: boolean; steal?: boolean; signal?: AbortSignal }, call: Waiting["call"]): Promise<unknown> {
    return new Promise((settle, fail) => {
      const one: Waiting = { name, call, settle, fail };
      if (options.steal) {
        this.held.get(name)?.fail(new DOMException("stolen", "AbortError"));
        return void this.give(one);
      }
      if (!this.held.has(name)) return void this.give(one);
      if (options.ifAvailable) return settle(call(null));
      this.queue.push(one);
      options.signal?.addEventListener("abort", () => {
        if (!this.queue.includes(one)) return;
        this.queue = this.queue.filter((other) => other !== one);
        fail(options.signal!.reason);
      });
    });
  }

  private async give(one: Waiting) {
    this.held.set(one.name, one);
    await Promise.resolve();
    try {
      one.settle(await one.call({ name: one.name }));
    } catch (error) {
      one.fail(error);
    }
    if (this.held.get(one.name) !== one) return; // it was stolen
    this.held.delete(one.name);
    const next = this.queue.find(({ name }) => name === one.name);
    this.queue = this.queue.filter((other) => other !== next);
    if (next) void this.give(next);
  }
}
