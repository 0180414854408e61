import { NativeConnection, Worker } from '@temporalio/worker';
import * as activities from './activities';

async function main(address: string, taskQueue: string): Promise<void> {
  const connection = await NativeConnection.connect({ address });
  const worker = await Worker.create({ connection, taskQueue, workflowsPath: require.resolve('./workflows'), activities });
  process.stdin.resume().on('end', () => worker.shutdown());
  const running = worker.run();
  console.log('msg=serving');
  await running;
  await connection.close();
}

main(process.argv[2], process.argv[3]).catch((error) => {
  console.error(error);
  process.exit(1);
});
