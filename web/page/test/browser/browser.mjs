// What the tests in a browser have in common: the distribution's Chromium, and what a page may never do.
import { chromium } from 'playwright-core'

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run', '--disable-dev-shm-usage'],
  })
}

// watch collects what a page must not do: errors, violations of its policy, and requests to other hosts.
export function watch(page, origin, findings) {
  page.on('pageerror', (error) => findings.push(`error: ${error.message}`))
  page.on('console', (message) => {
    const text = message.text()
    if (/Content.Security.Policy|TrustedHTML|TrustedScript/i.test(text)) findings.push(`policy: ${text}`)
  })
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url())
    if (protocol !== 'data:' && protocol !== 'blob:' && host !== new URL(origin).host) findings.push(`request to ${request.url()}`)
  })
  return page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (e) => console.error(`Content Security Policy: ${e.violatedDirective} ${e.blockedURI}`))
  })
}

// run takes steps in order until one fails, and prints "done", or what has gone wrong.
export async function run(findings, steps) {
  for (const [name, step] of Object.entries(steps)) {
    await step().catch((error) => findings.push(`${name}: ${error.message}`))
    if (findings.length > 0) break
  }
  console.log(findings.length > 0 ? JSON.stringify(findings) : 'done')
}
