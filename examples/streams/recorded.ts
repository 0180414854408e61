import type { LanguageModelV4Content, LanguageModelV4Reasoning, LanguageModelV4StreamPart, LanguageModelV4Text } from '@ai-sdk/provider';
import { Context } from '@temporalio/activity';
import type { LanguageModelMiddleware } from 'ai';
import { recordMessage } from './feed';

type Part = LanguageModelV4StreamPart;

/** Records the answers of models while they are given, each as one message. It runs in the activities of Temporal's AiSdkPlugin. */
export const recordAnswers: LanguageModelMiddleware = {
  specificationVersion: 'v4',

  // A model that is not needed any more stops.
  transformParams: async ({ params }) => ({ ...params, abortSignal: Context.current().cancellationSignal }),

  // For streamText, whose parts go on to the topic.
  async wrapStream({ doStream }) {
    const { stream, ...rest } = await doStream();
    return { ...rest, stream: recorded(stream) };
  },

  // For generateText, which needs no topic: the model streams all the same, and the workflow gets the whole.
  async wrapGenerate({ doStream }) {
    const { stream, request, response } = await doStream();
    const content: LanguageModelV4Content[] = [];
    const blocks = new Map<string, LanguageModelV4Text | LanguageModelV4Reasoning>();
    let start: Extract<Part, { type: 'stream-start' }> | undefined;
    let finish: Extract<Part, { type: 'finish' }> | undefined;
    for await (const part of recorded(stream)) {
      switch (part.type) {
        case 'stream-start':
          start = part;
          break;
        case 'text-start':
        case 'reasoning-start': {
          const block = { type: part.type === 'text-start' ? ('text' as const) : ('reasoning' as const), text: '' };
          blocks.set(part.id, block);
          content.push(block);
          break;
        }
        case 'text-delta':
        case 'reasoning-delta':
          blocks.get(part.id)!.text += part.delta;
          break;
        case 'tool-call':
        case 'tool-result':
        case 'source':
        case 'file':
          content.push(part);
          break;
        case 'finish':
          finish = part;
      }
    }
    if (!finish) throw new Error('the model has not ended its answer');
    return { content, finishReason: finish.finishReason, usage: finish.usage, warnings: start?.warnings ?? [], request, response };
  },
};

/** Passes the parts of an answer on, and ends when its text is recorded. */
function recorded(parts: ReadableStream<Part>): ReadableStream<Part> {
  return new ReadableStream({
    async start(controller) {
      async function* text(): AsyncGenerator<string> {
        for await (const part of parts) {
          controller.enqueue(part);
          if (part.type === 'error') throw part.error; // so that the message is not closed
          if (part.type === 'text-delta' && part.delta !== '') yield part.delta;
        }
      }
      try {
        const pieces = text();
        const first = await pieces.next();
        if (!first.done) await recordMessage(joined(first.value, pieces)); // an answer may be calls of tools only
        controller.close();
      } catch (error) {
        controller.error(error);
      }
    },
  });
}

async function* joined(first: string, rest: AsyncIterable<string>): AsyncGenerator<string> {
  yield first;
  yield* rest;
}
