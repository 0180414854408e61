export { follow } from "./follow.js";
export { chat } from "./chat.js";
export { call } from "./call.js";
export { sessionCursor } from "./positions.js";
export { FeedError } from "./errors.js";
export type { Chat, ChatSnapshot } from "./chat.js";
export type { ChatMessage, ChatPart, ChatProgress, ChatTool } from "./fold.js";
export type * from "./types.js";
