// Usage: states.mjs ORIGIN [FOLDER [STATE...]]. Checks every scripted state in both schemes: with axe-core, for violations of the page's
// policy and for requests to other hosts. With a folder it also makes a picture of each at three widths.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

import { launch, watch } from './browser.mjs'

const [origin, folder, ...only] = process.argv.slice(2)
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const widths = { wide: [1440, 900], middle: [900, 700], phone: [390, 844] }
const findings = []
const browser = await launch()

async function open() {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce', deviceScaleFactor: 1 })
  const page = await context.newPage()
  await watch(page, origin, findings)
  return page
}

// check checks a state in one scheme. The middle width has the same elements as the wide one.
async function check(page, state, theme) {
  await page.goto(`${origin}/?state=${state}&theme=${theme}`)
  await page.waitForSelector('html[data-states]', { state: 'attached', timeout: 90_000 })
  for (const [name, [width, height]] of Object.entries(widths)) {
    if (name === 'middle' && !folder) continue
    await page.setViewportSize({ width, height })
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
    if (folder) await page.screenshot({ path: `${folder}/${state}-${theme}-${name}.png` })
    if (name === 'middle') continue
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }))
    checked++
    for (const v of violations) {
      const nodes = v.nodes.map((n) => `${n.target.join(' ')}: ${n.failureSummary}`).slice(0, 3)
      findings.push(`${state}, ${theme}, ${name}: ${v.id}: ${v.help}\n  ${nodes.join('\n  ')}`)
    }
  }
}

const pages = [await open(), await open()]
await pages[0].goto(`${origin}/`)
const all = (await pages[0].getAttribute('html[data-states]', 'data-states')).split(',')
const states = all.filter((s) => only.length === 0 || only.includes(s))
let checked = 0
await Promise.all(
  ['light', 'dark'].map(async (theme, i) => {
    for (const state of states) await check(pages[i], state, theme)
  }),
)
await browser.close()
console.log(`${states.length} states, ${checked} checks, ${findings.length} findings`)
for (const finding of findings) console.log(finding)
process.exitCode = findings.length > 0 || states.length === 0 ? 1 : 0
