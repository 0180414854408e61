import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Cursor } from "./types.js";

export * from "./gen/chatfeed/v1/chat_pb.js";
export * from "./gen/chatfeed/v1/feed_pb.js";
export * from "./gen/chatfeed/v1/record_pb.js";

/**
 * Returns a transport for `createClient` of Connect to the server at `url`. The token is asked for before each call. A stream is one
 * connection: what `follow` does besides, such as to come back, is up to the caller.
 */
export function feedTransport(url: string, { token }: { token?: () => string | Promise<string> } = {}): Transport {
  return createConnectTransport({
    baseUrl: url,
    interceptors: [
      (next) => async (request) => {
        if (token) request.header.set("Authorization", `Bearer ${await token()}`);
        return next(request);
      },
    ],
  });
}

/** Returns the cursor of an item's `createdAt`, with which `follow` and every other transport goes on. */
export function cursorOf({ seconds, nanos }: Timestamp): Cursor {
  return Number(`${seconds}.${String(nanos).padStart(9, "0")}`); // the same digits, and so the same number, as in JSON
}

/** Returns a cursor as a time, for `after` of a subscription. */
export function timestampOf(cursor: Cursor): Pick<Timestamp, "seconds" | "nanos"> {
  const [seconds, decimals] = cursor.toFixed(6).split(".");
  return { seconds: BigInt(seconds!), nanos: Number(decimals) * 1000 };
}
