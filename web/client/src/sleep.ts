/** Calls `call` when a signal aborts, unless the function that it returns is called before. */
export function onAbort(signal: AbortSignal, call: () => void): () => void {
  signal.addEventListener("abort", call);
  return () => signal.removeEventListener("abort", call);
}

/** Waits for so many seconds. It throws the signal's reason when that aborts. */
export function sleep(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = onAbort(signal, () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
    const timer = setTimeout(() => {
      leave();
      resolve();
    }, seconds * 1000);
  });
}
