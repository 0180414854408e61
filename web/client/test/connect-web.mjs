// Usage: connect-web.mjs SERVER WORKFLOW. Follows a workflow with connect-web, as the package is built, and prints the id of each item, and
// "closed" when the workflow is.
import { createClient } from "@connectrpc/connect";

import { FeedService, feedTransport } from "../dist/connect.js";

const [server, workflowId] = process.argv.slice(2);
const client = createClient(FeedService, feedTransport(server));
for await (const { items, final } of client.subscribe({ cursors: [{ workflowId }] })) {
  for (const { id } of items) console.log(id);
  if (final) console.log("closed");
}
