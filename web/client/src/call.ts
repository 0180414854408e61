import { feedError, parse, refusal } from "./errors.js";
import type { Feed } from "./types.js";

/**
 * Sends a call, such as `ChatService/SendMessage`, to a feed's server with its token, and returns the answer. A refused token is asked
 * for once more. It throws a FeedError.
 */
export async function call(feed: Pick<Feed, "url" | "headers">, method: string, message: object): Promise<any> {
  for (let again = true; ; again = false) {
    const own = await feed.headers();
    const headers = { ...own, "Content-Type": "application/json", "Connect-Protocol-Version": "1" };
    const init = { method: "POST", headers, body: JSON.stringify(message) };
    const response = await fetch(`${feed.url}/chatfeed.v1.${method}`, init).catch((error) => {
      throw feedError(error);
    });
    if (response.ok) return parse(await response.text());
    const error = await refusal(response);
    if (!(again && own.Authorization && error.code === "unauthenticated")) throw error;
  }
}
