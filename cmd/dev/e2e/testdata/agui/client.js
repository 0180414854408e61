// A program that runs agents of AG-UI as a page would. Each line of its input is a run; for each it writes the events' types as they
// come, and then what the agent shows.
import { createInterface } from "node:readline";
import { HttpAgent } from "@ag-ui/client";

const agents = new Map();
let warnings = [];
console.warn = (...words) => warnings.push(words.join(" ")); // the client warns of what the protocol does not have
console.error = () => {};
process.on("unhandledRejection", (error) => { // the client throws a broken connection a second time
  if (!String(error).includes("broken off")) throw error;
});
const write = (line) => process.stdout.write(JSON.stringify(line) + "\n");

// breaking fetches, and breaks the connection off after so many events. (The client's own way to abort hangs in Node if the answer has
// just ended.)
const breaking = (breakAfter) => async (url, init) => {
  const response = await fetch(url, init);
  if (!breakAfter || !response.ok) return response;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let left = breakAfter;
  const body = new ReadableStream({
    async pull(controller) {
      const { done, value } = left > 0 ? await reader.read() : {};
      if (left === 0) {
        await reader.cancel();
        controller.error(new Error("broken off"));
      } else if (done) {
        controller.close();
      } else {
        const events = decoder.decode(value, { stream: true }).split("\n\n");
        const taken = events.slice(0, left + 1);
        left -= taken.length - 1;
        if (left === 0) taken[taken.length - 1] = "";
        controller.enqueue(new TextEncoder().encode(taken.join("\n\n")));
      }
    },
  });
  return new Response(body, { headers: response.headers });
};

// once runs an agent until the run ends or, if that is given, until so many events have come. It returns the last event.
async function once(agent, name, input, breakAfter) {
  let last;
  agent.fetch = breaking(breakAfter);
  const events = {
    onEvent({ event }) {
      last = event;
      write({ agent: name, event: event.type });
    },
  };
  await agent.runAgent(input, events).catch((error) => {
    if (!String(error).includes("broken off")) throw error;
  });
  return last;
}

async function run({ url, agent: name, say, resume, breakAfter, climb }) {
  const agent = agents.get(name) ?? new HttpAgent({ url, threadId: name, initialState: { mine: true } });
  agents.set(name, agent);
  if (say) agent.addMessage({ id: say.id, role: "user", content: say.text });
  let end = await once(agent, name, { resume }, climb ? 1 : breakAfter);
  for (let n = 2; end?.type !== "RUN_FINISHED" && end?.type !== "RUN_ERROR"; n++) {
    end = await once(agent, name, { resume }, climb ? n : undefined);
  }
  write({ agent: name, end, messages: agent.messages, state: agent.state, interrupts: agent.pendingInterrupts, warnings });
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  run(command).catch((error) => write({ agent: command.agent, failure: String(error), warnings }));
});
