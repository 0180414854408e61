import { FeedError, parse, refusal } from "../errors.js";
import type { Batch, Gone, Item } from "../types.js";
import { batch, chunks, type Request } from "./way.js";

/** Server-sent events, read with fetch, which can send headers. What comes at once is one batch. */
export async function* sse(request: Request): AsyncGenerator<Batch> {
  const { workflows, cursors, last, types } = request;
  const query = new URLSearchParams(workflows.map((id) => ["workflow", id]));
  for (const id of workflows) query.append("after", String(cursors[id] ?? "")); // in the order of the workflows
  if (last) query.set("last", String(last));
  if (types) query.set("types", types.join());
  const response = await fetch(`${request.url}/events?${query}`, {
    headers: { ...request.headers, Accept: "text/event-stream" },
    cache: "no-store",
    signal: request.signal,
  });
  if (!response.ok || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) throw await refusal(response);
  let upToDate = false;
  let retry = 0; // seconds
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of chunks(response, request)) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = blocks.pop()!; // it has not ended yet
    let gone: Gone[] = [];
    let anew: string[] = [];
    let items: Item[] = [];
    for (const block of blocks) {
      const fields: Record<string, string> = {};
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        fields[line.slice(0, colon)] = line.slice(colon + 1).trim(); // a comment has no name, and is a heartbeat
      }
      if (fields.retry) retry = Number(fields.retry) / 1000;
      if (!fields.data) continue;
      const data = parse(fields.data);
      switch (fields.event) {
        case "gone":
        case "anew":
          if (items.length || (fields.event === "gone" && anew.length)) {
            yield batch({ gone, anew, items }); // they come before what follows
            (gone = []), (anew = []), (items = []);
          }
          if (fields.event === "gone") {
            gone.push(data);
          } else {
            anew.push(data.workflowId);
            upToDate = false;
          }
          break;
        case "up-to-date":
          upToDate = data;
          break;
        case "end":
          if (!data.final) throw new FeedError(data.code, data.message, data.code === "resource_exhausted" ? retry : 0);
          yield batch({ gone, anew, items, upToDate: true, final: true });
          return;
        default:
          items.push(data);
      }
    }
    yield batch({ gone, anew, items, upToDate });
  }
}
