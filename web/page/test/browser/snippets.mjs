// Usage: snippets.mjs ORIGIN WORKFLOW. Copies what the page offers to copy for a workflow, runs the code for browsers until it has shown an
// item, and prints all of it as JSON, by its name.
import { launch, watch } from './browser.mjs'

const [origin, workflow] = process.argv.slice(2)
const findings = []
const browser = await launch()
const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' })
await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin })
context.setDefaultTimeout(60_000)
const page = await context.newPage()
await watch(page, origin, findings)
await page.goto(`${origin}/?workflow=${encodeURIComponent(workflow)}`)
await page.locator('.connection', { hasText: 'live' }).waitFor()

const copied = {}
async function copy(name, section) {
  await page.evaluate(() => navigator.clipboard.writeText(''))
  await page.locator('.wire section', { hasText: section }).getByRole('button', { name: 'Copy' }).click()
  await page.waitForFunction(async () => (await navigator.clipboard.readText()) !== '')
  copied[name] = await page.evaluate(() => navigator.clipboard.readText())
}
await page.locator('.wire dd', { hasText: 'Connect' }).waitFor()
await copy('psql', 'Write a row')
for (const tab of await page.getByRole('tab').all()) {
  await tab.click()
  await copy(await tab.textContent(), 'Follow this workflow')
}

const other = await context.newPage()
await other.goto(`${origin}/healthz`) // a document of the server's origin without scripts of its own
const shown = other.waitForEvent('console', (message) => message.args().length > 0)
await other.evaluate(copied.EventSource)
copied.EventSource = JSON.stringify(await (await shown).args()[0].jsonValue())
await browser.close()
console.log(JSON.stringify({ copied, findings }))
