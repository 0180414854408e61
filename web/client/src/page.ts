/**
 * Calls `back` when the page may have missed something. `same` says that its connections may still work: it was only hidden. The
 * function that is returned ends that. Outside of a page it does nothing.
 */
export function whenBack(back: (same: boolean) => void): () => void {
  const ended = new AbortController();
  const page = globalThis.document;
  const on = (target: any, type: string, same = false) => {
    const call = (event: any) => (same ? page.visibilityState === "visible" : event.persisted !== false) && back(same);
    target?.addEventListener?.(type, call, { signal: ended.signal });
  };
  on(page, "visibilitychange", true);
  on(page, "resume");
  on(globalThis, "pageshow");
  on(globalThis, "online");
  return () => ended.abort();
}
