import { ApplicationFailure, Context } from '@temporalio/activity';

const server = process.env.CHATFEED_URL ?? 'http://127.0.0.1:8080';

/** Records a message of the assistant while it is written, and returns its text. For one message in an activity. */
export async function recordMessage(pieces: AsyncIterable<string>): Promise<string> {
  const context = Context.current();
  const { workflowExecution, activityId, attempt } = context.info;
  const id = `msg_${workflowExecution!.runId}_${activityId}`; // the same in each attempt, so nothing is recorded twice
  const close = (status: string) => record({ id, message: { message: text.toWellFormed(), status } });
  let text = '', waiting = '', at = 0;
  let sending = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;

  const send = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    return (sending = sending.then(async () => {
      const piece = waiting.replace(/[\uD800-\uDBFF]$/, ''); // half of a character waits for its other half
      waiting = waiting.slice(piece.length);
      if (piece === '') return;
      // A higher attempt takes the place of what lower ones have said.
      await record({ delta: { messageId: id, attempt, at, delta: piece.toWellFormed() } });
      at += [...piece].length; // code points
      context.heartbeat();
    }));
  };

  const alive = setInterval(() => context.heartbeat(), 2_000); // also while the model thinks
  try {
    for await (const piece of pieces) {
      context.cancellationSignal.throwIfAborted();
      const clean = piece.replaceAll('\0', '\uFFFD'); // PostgreSQL stores no NUL
      text += clean;
      waiting += clean;
      if (at === 0 || waiting.length >= 4096) await send();
      else timer ??= setTimeout(() => send().catch(() => {}), 50); // the next await meets the error
    }
    await send();
    await close('complete');
    return text;
  } catch (error) {
    if (context.cancellationDetails?.cancelRequested) {
      await close('cancelled');
      await context.cancelled; // throws
    }
    if (error instanceof ApplicationFailure && error.nonRetryable && error.type !== invalid) await close('failed');
    throw error; // the next attempt begins the message anew
  } finally {
    clearTimeout(timer);
    clearInterval(alive);
  }
}

const invalid = 'InvalidItem';

/** Records items, all or none, and returns when they are durable. It waits for a server that is away. */
export async function record(...items: object[]): Promise<void> {
  const { info, cancellationSignal } = Context.current();
  const body = JSON.stringify({ workflowId: info.workflowExecution!.workflowId, items });
  for (let pause = 100; ; pause = Math.min(2 * pause, 5_000)) {
    let problem: unknown, after = 0;
    try {
      const response = await fetch(`${server}/chatfeed.v1.RecordService/Record`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${process.env.CHATFEED_TOKEN ?? ''}` },
        body,
        signal: AbortSignal.timeout(10_000),
      });
      if (response.ok) return;
      problem = await response.text();
      if (response.status < 500 && response.status !== 401 && response.status !== 429) {
        throw ApplicationFailure.nonRetryable(`not recorded: ${problem}`, invalid);
      }
      after = 1_000 * Number(response.headers.get('Retry-After') ?? 0);
    } catch (error) {
      if (error instanceof ApplicationFailure) throw error;
      problem = error;
    }
    // When the activity has ended otherwise, a few more tries are made, to close a message.
    if (cancellationSignal.aborted && pause > 1_000) throw new Error(`not recorded: ${problem}`);
    await new Promise((resolve) => setTimeout(resolve, Math.max(pause, after)));
  }
}
