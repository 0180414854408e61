import { AiSdkPlugin } from '@temporalio/ai-sdk';
import { NativeConnection, Worker } from '@temporalio/worker';
import { wrapProvider } from 'ai';
import { models } from './models'; // yours: such as createOpenAI() of @ai-sdk/openai
import { recordAnswers } from './recorded';

async function main(address = '127.0.0.1:7233', taskQueue = 'streams'): Promise<void> {
  const connection = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection,
    taskQueue,
    workflowsPath: require.resolve('./workflows'),
    plugins: [new AiSdkPlugin({ modelProvider: wrapProvider({ provider: models, languageModelMiddleware: recordAnswers }) })],
  });
  process.stdin.resume().on('end', () => worker.shutdown());
  const running = worker.run();
  console.log('msg=serving');
  await running;
  await connection.close();
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
