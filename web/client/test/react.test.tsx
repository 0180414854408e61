import { Window } from "happy-dom";
import { StrictMode, type ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { chat } from "../src/index.js";
import { useSnapshot, useWorkflow, type Workflow } from "../src/react.js";
import { scripted } from "../src/testing.js";
import { settle } from "./help.js";
import { Server } from "./server.js";

const page = new Window();
for (const [name, value] of Object.entries({ window: page, document: page.document, navigator: page.navigator, IS_REACT_ACT_ENVIRONMENT: true })) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
const { act } = await import("react"); // they look for a document when they are loaded
const { createRoot } = await import("react-dom/client");

let server: Server;
let root: ReturnType<typeof createRoot>;
const place = () => page.document.body.textContent;

beforeEach(() => {
  vi.useFakeTimers();
  server = new Server();
  page.document.body.innerHTML = "<main></main>";
  root = createRoot(page.document.querySelector("main") as unknown as Element);
});

afterEach(async () => {
  await act(async () => root.unmount());
  await act(settle);
  expect(server.streams, "streams that are left open").toBe(0);
  expect(vi.getTimerCount(), "timers that are left").toBe(0);
  vi.useRealTimers();
});

const show = async (what: ReactNode) => {
  await act(async () => root.render(what));
  await act(settle);
};
const message = (id: string, text: string, workflow = "a") => server.write(workflow, "message", { message: text, role: "user", status: "complete" }, id);

let rendered = 0;
let workflow: Workflow;
function Chat({ id = "a", token }: { id?: string; token?: () => string }) {
  rendered++;
  workflow = useWorkflow("http://feed.example", id, token ? { token } : {});
  return <p>{workflow.messages.map(({ parts }) => parts[0]!.text).join(" ")}</p>;
}

test("a component shows the messages as they come, and renders for changes only", async () => {
  message("m1", "Hello");
  await show(<Chat />);
  expect(place()).toBe("Hello");
  expect(workflow.state.status).toBe("live");
  rendered = 0;
  await act(settle);
  expect(rendered).toBe(0);
  message("m2", "world");
  await act(settle);
  expect(place()).toBe("Hello world");
  expect(rendered).toBe(1);
});

test("an item of the workflow's messages stays the same object while it does not change", async () => {
  message("m1", "Hello");
  await show(<Chat />);
  const first = workflow.messages[0];
  const { send } = workflow;
  message("m2", "world");
  await act(settle);
  expect(workflow.messages[0]).toBe(first);
  expect(workflow.send).toBe(send);
});

test("strict mode leaves one connection", async () => {
  message("m1", "Hello");
  await show(<StrictMode><Chat /></StrictMode>);
  expect(place()).toBe("Hello");
  expect(server.streams).toBe(1);
});

test("another workflow takes the place of the first, and a new token is used without a new connection", async () => {
  message("m1", "Hello");
  message("m2", "Bonjour", "b");
  await show(<Chat token={() => "one"} />);
  await show(<Chat token={() => "two"} />);
  expect(server.asked).toHaveLength(1);
  await show(<Chat id="b" token={() => "two"} />);
  expect(place()).toBe("Bonjour");
  expect(server.streams).toBe(1);
  server.cut();
  await act(async () => void (await vi.advanceTimersByTimeAsync(1_000)));
  expect(server.asked.map(({ headers }) => headers.get("Authorization"))).toEqual(["Bearer one", "Bearer two", "Bearer two"]);
});

test("what people write is sent", async () => {
  await show(<Chat token={() => "mine"} />);
  await act(async () => void (await workflow.send("Hi", { id: "m7" })));
  const sent = server.asked.at(-1)!;
  expect(sent).toMatchObject({ path: "/chatfeed.v1.ChatService/SendMessage", body: { workflowId: "a" } });
  expect(sent.headers.get("Authorization")).toBe("Bearer mine");
  await act(async () => void (await workflow.stop()));
  await act(async () => void (await workflow.approve("call", true, "fine")));
  expect(server.asked.slice(-2).map(({ path }) => path)).toEqual(["/chatfeed.v1.ChatService/StopAnswer", "/chatfeed.v1.ChatService/AnswerApproval"]);
});

test("a chat that lives outside is shown", async () => {
  const view = chat(scripted([{ items: [{ type: "message", item: { message: "Hello", role: "user", status: "complete" } }] }]));
  function Shown() {
    return <p>{useSnapshot(view).messages.length} {useSnapshot(view).state.status}</p>;
  }
  await show(<Shown />);
  expect(place()).toBe("1 live");
  await act(async () => view.close());
  await act(settle);
  expect(place()).toBe("1 ended");
});
