import { defineConfig } from "vitest/config";

const src = (name: string) => new URL(`src/${name}.ts`, import.meta.url).pathname;

export default defineConfig({
  test: { include: ["test/**/*.test.{ts,tsx}"], unstubGlobals: true, restoreMocks: true, testTimeout: 20_000 },
  resolve: {
    // As docs/browser.md names them.
    alias: [
      { find: /^@chatfeed\/client$/, replacement: src("index") },
      { find: /^@chatfeed\/client\/(.*)$/, replacement: src("$1") },
    ],
  },
});
