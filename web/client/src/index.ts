export { follow } from "./follow.js";
export { call } from "./call.js";
export { sessionCursor } from "./positions.js";
export { FeedError } from "./errors.js";
export type * from "./types.js";
