// Usage: follow.mjs ORIGIN WORKFLOW WAY... Opens a page for each way and prints "live" when all are. When a line with a cursor comes on
// the input, it waits until every page has shown the item of that cursor, reads each page from its first row to its last, and prints
// what is on it, as JSON.
import { createInterface } from 'node:readline'

import { launch, watch } from './browser.mjs'

const [origin, workflow, ...ways] = process.argv.slice(2)
const findings = []
const browser = await launch()
const pages = {}
await Promise.all(
  ways.map(async (way) => {
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' })).newPage()
    await watch(page, origin, findings)
    await page.goto(`${origin}/?workflow=${encodeURIComponent(workflow)}&via=${way}`)
    await page.waitForSelector('.connection .mark.good')
    pages[way] = page
  }),
)
console.log('live')
for await (const line of createInterface({ input: process.stdin })) {
  const results = {}
  await Promise.all(
    Object.entries(pages).map(async ([way, page]) => {
      const at = `[data-cursor="${line}"]`
      await page.waitForSelector(at, { timeout: 60_000, state: 'attached' }).catch(() => findings.push(`${way}: the last item is not shown`))
      results[way] = await page.evaluate(readAll)
    }),
  )
  console.log(JSON.stringify({ results, findings }))
  break
}
await browser.close()

// readAll runs in the page. It scrolls from the first row to the last, opens what is folded, and returns the items in the order in which
// they are drawn. Two views must overlap, and agree on what both have.
async function readAll() {
  const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
  const scroller = document.querySelector('main .scroller')
  const rows = []
  const texts = {}
  const problems = []
  scroller.scrollTop = 0
  await painted()
  for (let steps = 0; steps < 5000; steps++) {
    for (let fold; (fold = document.querySelector('.fold[aria-expanded=false]')); ) {
      fold.click()
      await painted()
    }
    const keys = []
    for (const row of document.querySelectorAll('main [data-key]')) {
      const item = row.querySelector('[data-item]')
      keys.push(item ? item.dataset.item : row.dataset.key)
      if (item?.matches('.message')) {
        texts[item.dataset.item] = [...item.querySelectorAll(':scope > .markdown')].map((m) => m.innerText).join('\n')
        if (item.dataset.complete !== 'true') problems.push(`${item.dataset.item} is not complete`)
      }
    }
    if (new Set(keys).size !== keys.length) problems.push(`drawn twice at once: ${keys.filter((k, i) => keys.indexOf(k) !== i)}`)
    const from = rows.indexOf(keys[0])
    if (rows.length > 0 && from < 0) problems.push(`there is a gap before ${keys[0]}`)
    const known = from < 0 ? [] : rows.slice(from)
    known.forEach((key, i) => i < keys.length && keys[i] !== key && problems.push(`${key} was where ${keys[i]} is`))
    rows.push(...keys.slice(known.length))
    if (scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - 2) break
    scroller.scrollTop += scroller.clientHeight * 0.8
    await painted()
  }
  return { rows: rows.filter((key) => !key.startsWith('fold:')), texts, problems }
}
