/** The page of docs/ai-sdk.md. */
declare module "docs:ai-sdk" {
  export function Conversation(props: { workflow: string }): import("react").ReactNode;
}
