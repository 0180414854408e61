import { Client, Connection } from '@temporalio/client';
import { WorkflowStreamClient } from '@temporalio/workflow-streams/client';

/** Prints the parts that a subscriber of the topic is given, each as a line of JSON. */
async function main(workflow: string, address = '127.0.0.1:7233'): Promise<void> {
  const connection = await Connection.connect({ address });
  const topic = WorkflowStreamClient.create(new Client({ connection }), workflow).topic<Uint8Array>('answer');
  console.log('msg=watching');
  for await (const { data } of topic.subscribe(0)) console.log(new TextDecoder().decode(data));
  console.log('msg=ended');
  await connection.close();
}

main(process.argv[2]!, process.argv[3]).catch((error) => {
  console.error(error);
  process.exit(1);
});
