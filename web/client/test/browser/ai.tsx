// The page of the test in Chromium: that of docs/ai-sdk.md, and a record of what was on it at any moment.
import { createRoot } from "react-dom/client";
import { Conversation } from "docs:ai-sdk";

const root = document.body.appendChild(document.createElement("div"));
const seen: string[][] = ((globalThis as any).seen = []);
new MutationObserver(() => {
  const lines = [...document.querySelectorAll("article")].map((article) => `${article.id} ${[...article.querySelectorAll("p")].map((p) => p.textContent).join("|")}`);
  if (lines.join("\n") !== seen.at(-1)?.join("\n")) seen.push(lines);
}).observe(root, { childList: true, subtree: true, characterData: true });
createRoot(root).render(<Conversation workflow="wf_1" />);
