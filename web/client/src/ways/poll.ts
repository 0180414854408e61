import { parse } from "../errors.js";
import type { Batch, Cursor, Item } from "../types.js";
import { sleep } from "../sleep.js";
import { ask as send, batch, query, type Request } from "./way.js";

/** The pause between two polls in seconds: the least after something has come, longer by `growth` after each answer without. */
const least = 0.1;
const most = 5;
const growth = 1.5;
/** How long a long poll waits. Less than the 30 s after which some proxies give up, and than the watchdog. */
const wait = "25s";

interface Answer {
  items: Item[];
  upToDate: boolean;
  final?: boolean;
  ignored?: string[];
}

/** Reads a page of a workflow once. */
export async function read(request: Request, workflow: string, after?: Cursor, wait?: string): Promise<Answer> {
  const { last, types } = request;
  const start = after !== undefined ? { afterTimestamp: after, wait } : last ? { last } : { wait };
  const response = await send(request, `/workflows/${encodeURIComponent(workflow)}/chatData?${query({ limit: 1000, ...start, types })}`, "application/json");
  const answer = parse(await response.text());
  request.heard();
  return answer;
}

/** Polls, with a pause that grows while nothing comes. */
export const poll = (request: Request) => polls(request, false);

/** Polls, and the server answers when there is something. The first polls do not wait, to learn what there is. */
export const longPoll = (request: Request) => polls(request, true);

async function* polls(request: Request, long: boolean): AsyncGenerator<Batch> {
  const at: Record<string, Cursor | undefined> = { ...request.cursors };
  const pauses: Record<string, number> = {};
  const behind = new Set(request.workflows);
  const open = new Map<string, Promise<[string, Answer, number]>>();

  const ask = async (id: string): Promise<[string, Answer, number]> => {
    const pause = pauses[id] ?? 0;
    if (pause) await sleep(pause, request.signal);
    // A plain poll does not learn that a workflow is closed; one that waits a little does.
    const waiting = behind.has(id) ? undefined : long ? wait : pause >= most ? "1s" : undefined;
    const asked = Date.now();
    return [id, await read(request, id, at[id], waiting), Date.now() - asked];
  };
  const next = (id: string) => {
    const answer = ask(id);
    answer.catch(() => {}); // it is taken care of below, unless another fails first
    open.set(id, answer);
  };

  request.workflows.forEach(next);
  while (open.size > 0) {
    const [id, { items, upToDate, final, ignored }, took] = await Promise.race(open.values());
    open.delete(id);
    const backwards = at[id] === undefined && !!request.last; // what is newer than these has not been asked for
    const newest = items.at(-1)?.createdAt;
    at[id] = newest ?? at[id] ?? 0;
    if (upToDate && !backwards) behind.delete(id);
    else behind.add(id);
    // A server that is stopping answers a long poll at once.
    const waited = long && (newest || took > 1000);
    const pause = pauses[id] || least / growth;
    pauses[id] = waited || behind.has(id) ? 0 : newest ? least : Math.min(most, pause * growth);
    if (!final || backwards) next(id);
    yield batch({ anew: ignored?.length ? [id] : [], items, upToDate: behind.size === 0, final: open.size === 0 });
  }
}
