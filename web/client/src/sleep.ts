/** Calls `call` when a signal aborts, unless the function that it returns is called before. */
export function onAbort(signal: AbortSignal, call: () => void): () => void {
  signal.addEventListener("abort", call);
  return () => signal.removeEventListener("abort", call);
}

/** Waits for so many seconds. It throws the signal's reason when that aborts. */
export function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      leave();
      clearTimeout(timer);
      signal.aborted ? reject(signal.reason) : resolve();
    };
    const leave = onAbort(signal, end);
    const timer = setTimeout(end, seconds * 1000);
  });
}
