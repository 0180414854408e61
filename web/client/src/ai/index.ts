export { ChatfeedTransport, type TransportOptions } from "./transport.js";
export type { AnyChat } from "./attach.js";
export type { ChatfeedMetadata, ChatfeedUIMessage } from "./message.js";
export type { ChatProgress } from "../fold.js";
