// Uses the subpath for the AI SDK as uses.tsx does the others.
import { useChat } from "@ai-sdk/react";
import { ChatfeedTransport, type ChatfeedUIMessage } from "@chatfeed/client/ai";
import { useEffect } from "react";

const transport = new ChatfeedTransport({ url: "", token: async () => "token" });

export function Conversation() {
  const chat = useChat({ id: "order-7", transport });
  useEffect(() => transport.attach(chat), [chat.id]);
  // @ts-expect-error: the status is a text
  const status: number[] = chat.messages.map(({ metadata }) => metadata?.status);
  return <p>{chat.messages.map(({ metadata }) => metadata?.progress?.result ?? status)}</p>;
}

export const typed = (messages: ChatfeedUIMessage[]) => messages.length;
