import { garbled, parse, told } from "../errors.js";
import type { Batch, Gone, Item } from "../types.js";
import { cursorOf, timeOf } from "../time.js";
import { ask, batch, chunks, start, type Request } from "./way.js";

const contentType = "application/connect+json";
/** Longer than any message of the server: a page, or one item of at most a few MiB. */
const longest = 1 << 26;

/** `FeedService.Subscribe` of the Connect protocol: messages in JSON, each after a byte of flags and its length in four bytes. */
export async function* connect(request: Request): AsyncGenerator<Batch> {
  const { workflows, types } = request;
  const cursors = workflows.map((workflowId) => {
    const { after, last } = start(request, workflowId);
    return { workflowId, after: after ? timeOf(after) : undefined, last };
  });
  const response = await ask(request, "/chatfeed.v1.FeedService/Subscribe", contentType, {
    method: "POST",
    headers: { "Content-Type": contentType },
    body: envelope(JSON.stringify({ cursors, types })),
  });
  for await (const [flags, text] of envelopes(chunks(response, request))) {
    const message = parse(text);
    // Only the last message has an error. Its metadata are lists, each of one text, which is what a list is as a number.
    if (message.error) throw told(message.error, +message.metadata?.["retry-after"] || 0);
    if (flags) return;
    yield batch({ ...message, items: (message.items ?? []).map(item), gone: (message.gone ?? []).map(gone) });
  }
}

function envelope(text: string): Uint8Array<ArrayBuffer> {
  const message = new TextEncoder().encode(text);
  const { length } = message;
  return new Uint8Array([0, length >> 24, length >> 16, length >> 8, length, ...message]); // of each number the last eight bits
}

/** Returns the flags and the message of each envelope. One that is cut off is dropped. */
async function* envelopes(source: AsyncIterable<Uint8Array>): AsyncGenerator<[number, string]> {
  let bytes = new Uint8Array(0);
  for await (const chunk of source) {
    const joined = new Uint8Array(bytes.length + chunk.length);
    joined.set(bytes);
    joined.set(chunk, bytes.length);
    let at = 0;
    while (joined.length - at >= 5) {
      const length = new DataView(joined.buffer, at).getUint32(1);
      const flags = joined[at]!;
      if (flags & ~2 || length > longest) throw garbled();
      if (joined.length - at < length + 5) break;
      yield [flags, new TextDecoder().decode(joined.subarray(at + 5, at + 5 + length))];
      at += 5 + length;
    }
    bytes = joined.subarray(at);
  }
}

/** What JSON of protobuf leaves out where it is empty, of those items that are not copied from the database's JSON as they are. */
const empty: Record<string, object> = {
  progress: { progress: 0, status: "", result: "" },
  tool: { callId: "", messageId: "", name: "", state: "", input: null, output: null, error: "" },
};

/** Returns an item of protobuf's JSON as an element of chatData's items. */
function item({ id, workflowId, _createdAt: time, metadata, omitted, ...body }: any): Item {
  const createdAt = cursorOf(time);
  const type = Object.keys(body)[0] ?? omitted?.find((part: string) => !/^_|^id|d(ata|Id)$/.test(part));
  const rest = { ...(metadata !== undefined && { metadata }), ...(omitted && { omitted }), _createdAt: createdAt };
  return { type, createdAt, item: { id, workflowId, ...(body[type] && empty[type]), ...body[type], ...rest } } as Item;
}

function gone(one: any): Gone {
  return { ...one, _createdAt: cursorOf(one._createdAt) };
}
