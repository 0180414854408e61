// Usage: ai.mjs PAGE CONTROL. Plays a conversation in Chromium. PAGE is the server with the page; CONTROL writes the items that the
// workflow would write, and says what it was told. Prints what is wrong, and ends with status 0 if nothing is.
import assert from "node:assert/strict";
import { launch, watch } from "../../../page/test/browser/browser.mjs";

const [origin, control] = process.argv.slice(2);
const findings = [];
const browser = await launch();
const context = await browser.newContext();

async function open(where = context) {
  const page = await where.newPage();
  await watch(page, origin, findings);
  await page.goto(origin);
  return page;
}

const post = async (url, body) => {
  const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
};
/** Writes items in one transaction each, as the workflow would. */
const write = async (...items) => {
  for (const [type, item] of items) await post(control, { type, item: { workflowId: "wf_1", ...item } });
};
const told = () => post(control, {});
const lengths = {};
const say = (messageId, delta, attempt = 1) => {
  const key = `${messageId}:${attempt}`;
  const at = lengths[key] ?? 0;
  lengths[key] = at + [...delta].length;
  return ["delta", { messageId, attempt, part: 0, kind: "text", at, delta }];
};
const message = (id, text, status = "complete") => ["message", { id, message: text, role: "assistant", status }];
let steps = 0;
const progress = (percent, status) => ["progress", { id: `p${++steps}`, progress: percent, status }];
const tool = (callId, messageId, state, more) => ["tool", { callId, messageId, name: "search", state, ...more }];

/** Waits until a page shows exactly this, and has this status. */
async function shows(page, texts, status) {
  const look = () => page.evaluate(() => [document.querySelector("main")?.dataset.status, ...[...document.querySelectorAll("article")].map((article) => article.innerText.replace(/\s+/g, " ").trim())]);
  const want = JSON.stringify([status, ...texts]);
  try {
    await page.waitForFunction(
      (want) => JSON.stringify([document.querySelector("main")?.dataset.status, ...[...document.querySelectorAll("article")].map((article) => article.innerText.replace(/\s+/g, " ").trim())]) === want,
      want,
      { timeout: 30_000, polling: 20 },
    );
  } catch {
    assert.deepEqual(await look(), [status, ...texts]);
  }
}

let sent = 0;
/** Sends a message, and waits until the workflow has recorded it. */
async function send(page, text) {
  await page.fill("input", text);
  await page.click("button:text('Send')");
  sent++;
  while ((await told()).sent < sent);
}

/** What was on the screen at any moment must be a beginning of one of the texts, and grow until the next of them. */
async function check(page, all) {
  for (const lines of await page.evaluate(() => globalThis.seen)) {
    for (const line of lines) {
      const [id, ...rest] = line.split(" ");
      const text = rest.join(" ");
      if (all[id] && !all[id].some((whole) => whole.startsWith(text))) findings.push(`${id} was shown as ${JSON.stringify(text)}`);
    }
    if (new Set(lines.map((line) => line.split(" ")[0])).size !== lines.length) findings.push(`a message was shown twice: ${lines}`);
  }
  for (const id of Object.keys(all)) {
    const texts = (await page.evaluate(() => globalThis.seen)).flatMap((lines) => lines.filter((line) => line.startsWith(`${id} `)).map((line) => line.slice(id.length + 1)));
    const falls = texts.filter((text, i) => i > 0 && !text.startsWith(texts[i - 1])).length;
    if (falls > all[id].length - 1) findings.push(`${id} got shorter: ${JSON.stringify(texts)}`);
  }
}

try {
  const one = await open();
  await shows(one, [], "ready");

  // send, and a reload in the middle
  await send(one, "first");
  await shows(one, ["first"], "submitted");
  await write(say("a1", "Hello"), say("a1", " wor"));
  await shows(one, ["first", "Hello wor"], "streaming");
  await check(one, { a1: ["Hello world."] });
  await one.reload();
  await shows(one, ["first", "Hello wor"], "streaming");
  await write(say("a1", "ld."));
  await shows(one, ["first", "Hello world."], "streaming");

  // a second tab, and the end
  const two = await open();
  await shows(two, ["first", "Hello world."], "streaming");
  await write(message("a1", "Hello world."), progress(100, "complete"));
  for (const page of [one, two]) await shows(page, ["first", "Hello world."], "ready");

  // a message from another device, and a retry of the activity
  sent++;
  await post(`${origin}/chatfeed.v1.ChatService/SendMessage`, { workflowId: "wf_1", id: "u2", text: "second" });
  for (const page of [one, two]) await shows(page, ["first", "Hello world.", "second"], "submitted");
  await write(say("a2", "Wrong an"));
  for (const page of [one, two]) await shows(page, ["first", "Hello world.", "second", "Wrong an"], "streaming");
  await write(say("a2", "Right", 2), say("a2", " answer", 2));
  for (const page of [one, two]) await shows(page, ["first", "Hello world.", "second", "Right answer"], "streaming");

  // without a connection during the end of the turn
  await context.setOffline(true);
  await write(say("a2", ", at last", 2), message("a2", "Right answer, at last."), progress(100, "complete"));
  const phone = await open(await browser.newContext());
  await shows(phone, ["first", "Hello world.", "second", "Right answer, at last."], "ready");
  await context.setOffline(false);
  const before = ["first", "Hello world.", "second", "Right answer, at last."];
  for (const page of [one, two]) await shows(page, before, "ready");

  // a call that needs approval, which is given in one tab
  await send(two, "third");
  await write(["tool", { callId: "c", messageId: "a3", name: "search", state: "input-available", input: { q: "x" } }], tool("c", "a3", "approval-requested"), progress(40, "waiting"));
  for (const page of [one, two, phone]) await shows(page, [...before, "third", "search: approval-requestedAllowRefuse"], "ready");
  await one.click("button:text('Allow')");
  for (const page of [one, two, phone]) await page.waitForSelector("text=search: approval-responded");
  assert.deepEqual((await told()).approved, ["c true"]);
  await write(progress(60, "answering"), tool("c", "a3", "output-available", { output: [1] }), say("a3", "Found"));
  for (const page of [one, two, phone]) await shows(page, [...before, "third", "search: output-available Found"], "streaming");

  // stop
  await two.click("button:text('Stop')");
  for (const page of [one, two, phone]) await shows(page, [...before, "third", "search: output-available Found"], "ready");
  assert.equal((await told()).stopped, 1);

  const texts = { a1: ["Hello world."], a2: ["Wrong an", "Right answer, at last."], a3: ["Found"] };
  for (const page of [one, two, phone]) await check(page, texts);
  assert.deepEqual(findings, []);
} finally {
  await browser.close();
}
