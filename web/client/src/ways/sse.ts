import { parse, told } from "../errors.js";
import type { Batch, Item } from "../types.js";
import { ask, batch, chunks, query, type Request } from "./way.js";

/** Server-sent events, read with fetch, which can send headers. What comes at once is one batch. */
export async function* sse(request: Request): AsyncGenerator<Batch> {
  const { workflows, cursors, last, types } = request;
  const each = workflows.map((workflow) => "&" + query({ workflow, after: cursors[workflow] ?? "" })).join("");
  const response = await ask(request, `/events?${query({ last, types })}${each}`, "text/event-stream");
  let upToDate = false;
  let retry = 0; // seconds
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of chunks(response, request)) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = blocks.pop()!; // it has not ended yet
    let items: Item[] = [];
    for (const block of blocks) {
      const fields: Record<string, string> = {};
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        fields[line.slice(0, colon)] = line.slice(colon + 1).trim(); // a comment has no name, and is a heartbeat
      }
      const { event, data: text } = fields;
      retry = +fields.retry! / 1000 || retry;
      if (!text) continue;
      const data = parse(text);
      if (event === "up-to-date") {
        upToDate = data;
      } else if (event === "end") {
        if (!data.final) throw told(data, data.code === "resource_exhausted" ? retry : 0);
        yield batch({ items, upToDate: true, final: true });
        return;
      } else if (event === "gone" || event === "anew") {
        if (items.length) yield batch({ items }); // they came before
        items = [];
        if (event === "anew") upToDate = false;
        yield batch(event === "gone" ? { gone: [data], upToDate } : { anew: [data.workflowId] });
      } else {
        items.push(data);
      }
    }
    yield batch({ items, upToDate });
  }
}
