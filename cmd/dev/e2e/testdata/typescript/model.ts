import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Context } from '@temporalio/activity';

/** Stands for a model. It says what a test has in store for the question. */
export async function* ask(question: string, signal: AbortSignal): AsyncIterable<string> {
  const { attempt, workflowExecution } = Context.current().info;
  const gate = `${process.env.GATES}/${workflowExecution!.workflowId}`;
  switch (question) {
    case 'fail first':
      if (attempt === 1) {
        yield 'The wro';
        throw new Error('the model has failed');
      }
      break;
    case 'never end':
      yield 'Once';
      await pause(600_000, undefined, { signal });
      break;
    case 'be refused':
      yield 'x';
      yield 'x'.repeat(2 << 20);
      return;
  }
  for (const word of 'The quick \ud83e|\udd8a jumps\0 |over the |lazy dog.'.split('|')) {
    yield word;
    await pause(60);
  }
  while (!existsSync(gate)) await pause(20); // until the test has seen it grow
  yield ' The end.';
}
