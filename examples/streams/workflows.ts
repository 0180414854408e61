import { TemporalProvider } from '@temporalio/ai-sdk/workflow';
import { WorkflowStream } from '@temporalio/workflow-streams/workflow';
import { generateText, streamText } from 'ai';

const options = { startToCloseTimeout: '10 minutes', heartbeatTimeout: '10 seconds' } as const;

/** As Temporal's integration streams: each part of the answer goes into a topic of the running workflow. */
export async function streamed(question: string): Promise<string> {
  new WorkflowStream();
  const provider = new TemporalProvider({ languageModel: { ...options, streamingTopic: 'answer' } });
  return await streamText({ model: provider.languageModel('demo'), prompt: question }).text;
}

/** Without a topic: nothing but the question and the answer is in the workflow. */
export async function generated(question: string): Promise<string> {
  const provider = new TemporalProvider({ languageModel: options });
  return (await generateText({ model: provider.languageModel('demo'), prompt: question })).text;
}
