import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { LanguageModelV4, LanguageModelV4StreamPart, LanguageModelV4Usage, ProviderV4 } from '@ai-sdk/provider';
import { Context } from '@temporalio/activity';

const usage: LanguageModelV4Usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 1, text: 1, reasoning: undefined },
};

/** Says a few words. With GATES, a folder, it waits before the last ones for a file there that has the workflow's id as its name. */
async function* answer(question: string): AsyncGenerator<LanguageModelV4StreamPart> {
  const { attempt, workflowExecution } = Context.current().info;
  yield { type: 'stream-start', warnings: [] };
  yield { type: 'text-start', id: '0' };
  if (question === 'fail first' && attempt === 1) {
    yield { type: 'text-delta', id: '0', delta: 'The wro' };
    throw new Error('the model has failed');
  }
  for (const delta of ['The quick 🦊 ', 'jumps over ', 'the lazy dog.']) {
    yield { type: 'text-delta', id: '0', delta };
    await pause(60);
  }
  const gate = process.env.GATES && `${process.env.GATES}/${workflowExecution!.workflowId}`;
  while (gate && !existsSync(gate)) await pause(20);
  yield { type: 'text-delta', id: '0', delta: ' The end.' };
  yield { type: 'text-end', id: '0' };
  yield { type: 'finish', finishReason: { unified: 'stop', raw: 'stop' }, usage };
}

/** Stands for a provider of models. */
export const models: ProviderV4 = {
  specificationVersion: 'v4',
  languageModel: (modelId): LanguageModelV4 => ({
    specificationVersion: 'v4',
    provider: 'demo',
    modelId,
    supportedUrls: {},
    doGenerate: () => Promise.reject(new Error('not used')),
    async doStream({ prompt }) {
      const last = prompt.at(-1)!;
      const question = last.role === 'user' && last.content[0]?.type === 'text' ? last.content[0].text : '';
      return { stream: ReadableStream.from(answer(question)) };
    },
  }),
  embeddingModel: () => {
    throw new Error('not used');
  },
  imageModel: () => {
    throw new Error('not used');
  },
};
