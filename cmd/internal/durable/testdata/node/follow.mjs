// Follows a stream with the protocol's own client, in the given way, and prints the id of each item, until the stream is closed.
import { stream } from "@durable-streams/client"

const [url, live] = process.argv.slice(2)
const response = await stream({ url, offset: "-1", live, onError: (error) => (error.status >= 500 ? {} : undefined) })
response.subscribeJson(async (batch) => {
  for (const element of batch.items) console.log(element.item.id)
  if (batch.streamClosed) console.log("closed")
})
