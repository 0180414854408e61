import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const run = promisify(execFile);
const client = new URL("..", import.meta.url).pathname;
let folder: string;

/** Packs the package and installs it into an empty folder, where nothing else is. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "chatfeed-"));
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: client });
  await writeFile(join(folder, "package.json"), '{"private": true, "type": "module"}');
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${stdout.trim().split("\n").at(-1)}`], { cwd: folder });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const subpaths = async () =>
  Object.keys(JSON.parse(await readFile(join(client, "package.json"), "utf8")).exports).filter((path) => !path.endsWith(".json"));

const node = async (code: string) => {
  await writeFile(join(folder, "main.js"), code);
  return (await run("node", ["main.js"], { cwd: folder })).stdout;
};

test("the package needs no other", async () => {
  const code = `
    import { follow, chat } from "@chatfeed/client";
    import { scripted } from "@chatfeed/client/testing";
    for await (const { items, final } of scripted([{ items: [{ type: "log", item: { message: "one" } }] }, { end: "final" }])) {
      console.log(items.map(({ item }) => item.message).join(), final, typeof follow, typeof chat);
    }`;
  expect(await node(code)).toBe("one false function function\n true function function\n");
  expect(JSON.parse(await readFile(join(folder, "package-lock.json"), "utf8")).packages).toSatisfy((all: object) => Object.keys(all).length === 2);
});

test("with its peers, every subpath can be imported, and has types, with which the code of the docs compiles", async () => {
  const peers = ["react", "ai", "@ai-sdk", "@types", "@bufbuild", "@connectrpc", "csstype"];
  await mkdir(join(folder, "node_modules"), { recursive: true });
  for (const peer of peers) await symlink(join(client, "node_modules", peer), join(folder, "node_modules", peer));
  const paths = (await subpaths()).map((path) => "@chatfeed/client" + path.slice(1));
  expect(paths.length).toBeGreaterThanOrEqual(4);
  const found = await node(`for (const path of ${JSON.stringify(paths)}) console.log(path, Object.keys(await import(path)).length > 0);`);
  expect(found).toBe(paths.map((path) => `${path} true\n`).join(""));

  const strict = { target: "ES2022", lib: ["ES2022", "DOM", "DOM.Iterable"], jsx: "react-jsx", strict: true, exactOptionalPropertyTypes: true, noEmit: true, types: [] };
  const compile = async (uses: string, docs: string, more = {}) => {
    const code = [await readFile(join(client, "test", uses), "utf8")];
    const page = await readFile(join(client, "../../docs", docs), "utf8");
    for (const [, block] of page.matchAll(/^```tsx?\n(.*?)^```$/gms)) code.push(block!);
    const files = code.map((_, n) => `${n}-${uses}`);
    for (const [n, text] of code.entries()) await writeFile(join(folder, files[n]!), text);
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: { ...strict, module: "ESNext", moduleResolution: "bundler", ...more }, files }));
    await run(join(client, "node_modules/.bin/tsc"), ["-p", "."], { cwd: folder }).catch(({ stdout }) => expect.fail(stdout));
    return code[0]!;
  };
  // The SDK's own types are not for exactOptionalPropertyTypes.
  const used = (await compile("uses.tsx", "browser.md")) + (await compile("uses-ai.tsx", "ai-sdk.md", { skipLibCheck: true }));
  for (const path of paths) expect(used).toContain(`"${path}"`);
}, 60_000);
