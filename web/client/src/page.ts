/**
 * Calls `back` when the page may have missed something. `same` says that its connections may still work: it was only hidden. The
 * function that is returned ends that. Outside of a page it does nothing.
 */
export function whenBack(back: (same: boolean) => void): () => void {
  const ended = new AbortController();
  const on = (target: EventTarget | undefined, type: string, call: (event: any) => void) => target?.addEventListener?.(type, call, { signal: ended.signal });
  const page = globalThis.document;
  on(page, "visibilitychange", () => page.visibilityState === "visible" && back(true));
  on(page, "resume", () => back(false));
  on(globalThis as unknown as EventTarget, "pageshow", (event) => event.persisted && back(false));
  on(globalThis as unknown as EventTarget, "online", () => back(false));
  return () => ended.abort();
}
