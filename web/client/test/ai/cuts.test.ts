import { beforeEach, describe, expect, it, vi } from "vitest";
import { pass, settle } from "../help.js";
import { Page, Workflow } from "./workflow.js";

let workflow: Workflow;
beforeEach(() => {
  vi.useFakeTimers({ now: 1_795_311_000_000 });
  workflow = new Workflow();
  return () => vi.useRealTimers();
});

/** A conversation, item by item, with what a page shows after each of them. */
const story: [write: (w: Workflow) => void, ...shown: string[]][] = [
  [(w) => w.user("first", "u1"), "user: first"],
  [(w) => w.message("a1", "First answer"), "user: first", "assistant: First answer"],
  [(w) => w.done()],
  [(w) => w.user("second", "u2"), "user: first", "assistant: First answer", "user: second"],
  [(w) => w.tool("c", "a2", "input-available", { input: {} }), "+assistant: [tool-search input-available]"],
  [(w) => w.tool("c", "a2", "output-available", { output: "x" }), "+assistant: [tool-search output-available]"],
  [(w) => w.think("a2", "Hm"), "+assistant: [tool-search output-available] (Hm…)"],
  [(w) => w.say("a2", "Sec"), "+assistant: [tool-search output-available] (Hm) Sec…"],
  [(w) => w.say("a2", "ond 😀"), "+assistant: [tool-search output-available] (Hm) Second 😀…"],
  [(w) => w.say("a2", "Sec", { attempt: 2 }), "+assistant: [tool-search output-available] Sec…"],
  [(w) => w.say("a2", "ond", { attempt: 2 }), "+assistant: [tool-search output-available] Second…"],
  [(w) => w.say("a2", " answer", { attempt: 2 }), "+assistant: [tool-search output-available] Second answer…"],
  [(w) => w.message("a2", "Second answer"), "+assistant: [tool-search output-available] Second answer"],
  [(w) => w.progress(90, "answering")],
  [(w) => w.say("a3", "Mo"), "+assistant: [tool-search output-available] Second answer Mo…"],
  [(w) => w.message("a3", "More"), "+assistant: [tool-search output-available] Second answer More"],
  [(w) => w.done()],
  [(w) => w.message("a2b", "Edited", { replaces: "a2" }), "+assistant: [tool-search output-available] Edited More"],
];
const before = ["user: first", "assistant: First answer", "user: second"];
const shows: string[][] = [];
for (const [, ...shown] of story) {
  const [first] = shown;
  shows.push(first?.startsWith("+") ? [...before, first.slice(1)] : shown.length ? shown : shows.at(-1)!);
}

/** The text of every answer has to be on the screen once the workflow is done, and nothing is streaming any more. */
function expectWhole(page: Page) {
  expect(page.shown).toEqual(shows.at(-1));
  expect(page.chat.status).toBe("ready");
  expect(page.chat.error).toBeUndefined();
}

describe("what is shown is right after every item", () => {
  it("on a page that is there from the beginning", async () => {
    const page = new Page();
    await settle();
    for (const [i, [write]] of story.entries()) {
      write(workflow);
      await settle();
      expect(page.shown, `after item ${i}`).toEqual(shows[i]);
    }
    expectWhole(page);
  });

  for (const at of story.keys()) {
    it(`when the connection breaks before item ${at}`, async () => {
      const page = new Page();
      await settle();
      for (const [i, [write]] of story.entries()) {
        if (i === at) workflow.server.cut();
        write(workflow);
        await (i === at ? pass(2000) : settle());
        expect(page.shown, `after item ${i}`).toEqual(shows[i]);
      }
      expectWhole(page);
    });

    it(`when the page is loaded before item ${at}, and in a second tab`, async () => {
      const [first, ...pages] = [new Page(), new Page()];
      await settle();
      for (const [i, [write]] of story.entries()) {
        if (i === at) {
          first!.transport.close();
          pages.push(new Page());
          await settle();
          expect(pages.at(-1)!.shown, "when it is loaded").toEqual(i ? shows[i - 1] : []);
        }
        write(workflow);
        await settle();
        for (const page of pages) expect(page.shown, `after item ${i}`).toEqual(shows[i]);
      }
      pages.forEach(expectWhole);
    });

    it(`when a page without attach resumes before item ${at}`, async () => {
      for (const [write] of story.slice(0, at)) write(workflow);
      const page = new Page({ attached: false });
      void page.chat.resumeStream();
      await settle();
      for (const [i, [write]] of story.entries()) {
        if (i < at) continue;
        write(workflow);
        await settle();
      }
      await page.chat.resumeStream();
      const answers = shows.at(-1)!.filter((line) => line.startsWith("assistant"));
      expect(answers.slice(-page.shown.length)).toEqual(page.shown);
      expect(page.chat.messages.at(-1)!.id).toBe("a2");
      expect(page.chat.status).toBe("ready");
    });
  }
});

it("each connection breaks after one item", async () => {
  let n = 0;
  workflow.fault = ({ transport }) => (transport === "call" ? undefined : { piece: (piece, i) => (i === 1 && n++ < 40 ? [piece, "cut"] : [piece]) });
  const page = new Page();
  await settle();
  for (const [i, [write]] of story.entries()) {
    write(workflow);
    await pass(3000);
    expect(page.shown, `after item ${i}`).toEqual(shows[i]);
  }
  expectWhole(page);
});
