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
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce', deviceScaleFactor: 1 })
const page = await context.newPage()
await watch(page, origin, findings)

await page.goto(`${origin}/`)
const states = (await page.getAttribute('html[data-states]', 'data-states')).split(',').filter((s) => only.length === 0 || only.includes(s))
let checked = 0
for (const state of states) {
  for (const theme of ['light', 'dark']) {
    await page.goto(`${origin}/?state=${state}&theme=${theme}`)
    await page.waitForSelector('html[data-states]')
    for (const [name, [width, height]] of Object.entries(widths)) {
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
}
await browser.close()
console.log(`${states.length} states, ${checked} checks, ${findings.length} findings`)
for (const finding of findings) console.log(finding)
process.exitCode = findings.length > 0 || states.length === 0 ? 1 : 0
