// Usage: events.mjs ORIGIN WORKFLOW. Follows a workflow with a bare EventSource in the browser, and prints the id of each item, and "closed"
// when the workflow is.
import { launch } from './browser.mjs'

const [origin, workflow] = process.argv.slice(2)
const browser = await launch()
const page = await browser.newPage()
await page.goto(`${origin}/healthz`) // a document of the server's origin without scripts of its own
await page.exposeFunction('print', (line) => console.log(line))
await page.evaluate(
  (path) =>
    new Promise((closed) => {
      const source = new EventSource(path)
      for (const type of ['message', 'log', 'stat', 'progress']) {
        source.addEventListener(type, (event) => print(JSON.parse(event.data).item.id))
      }
      source.addEventListener('end', (event) => {
        if (!JSON.parse(event.data).final) return // it comes back by itself
        source.close()
        closed(print('closed'))
      })
    }),
  `/workflows/${encodeURIComponent(workflow)}/events`,
)
await browser.close()
