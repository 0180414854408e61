// Usage: signin.mjs ORIGIN. Uses the page of a server that wants a token. It prints what is to happen on the server, "lines WORKFLOW",
// "asks WORKFLOW", "token TOKEN" (the one that is accepted from then on) or "away yes|no" (the chat), and waits for a line of the input
// after each. In the end it prints "done", or what has gone wrong.
import { createInterface } from 'node:readline'

import { launch, run, watch } from './browser.mjs'

const [origin] = process.argv.slice(2)
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const ask = async (...words) => {
  console.log(words.join(' '))
  await answers.next()
}
const findings = []
const browser = await launch()
const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' })
page.setDefaultTimeout(60_000)
await watch(page, origin, findings)
const text = (words) => page.locator('main .markdown', { hasText: words })
const field = page.getByLabel('Token')
const signIn = async (token) => {
  await field.fill(token)
  await page.keyboard.press('Enter')
}

await run(findings, {
  'without a token there is a field for one; a wrong one is refused': async () => {
    await ask('lines', 'chat-a')
    await page.goto(`${origin}/`)
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await page.locator('main h1', { hasText: 'chatfeed' }).waitFor()
    if ((await page.locator('.sidebar li').count()) > 0) throw new Error('workflows are listed')
    await signIn('not one')
    await page.getByRole('alert').filter({ hasText: 'no spaces' }).waitFor()
    await signIn('wrong')
    await page.getByRole('alert').filter({ hasText: 'refused the token' }).waitFor()
  },
  'with the right one everything is there: the list, the conversation, older items': async () => {
    await signIn('good')
    await page.locator('main h1', { hasText: 'chat-a' }).waitFor()
    await text('Line 299').waitFor()
    await page.locator('.connection', { hasText: 'live' }).waitFor()
    await page.locator('main [role=log]').evaluate((log) => (log.scrollTop = 0))
    await page.locator('main .older', { hasText: 'The beginning' }).waitFor()
    await page.locator('main [role=log]').evaluate((log) => (log.scrollTop = 0))
    await text(/^Line 0$/).waitFor()
    if (await page.locator('.wire option[value=socket]').count()) throw new Error('a socket cannot send a token')
  },
  'the token is kept through a reload, and each way but a socket sends it': async () => {
    for (const way of ['connect', 'sse', 'long-poll', 'poll']) {
      await page.goto(`${origin}/?workflow=chat-a&via=${way}`)
      await text('Line 299').waitFor()
      await page.locator('.connection', { hasText: 'live' }).waitFor()
    }
    await page.goto(`${origin}/?workflow=chat-a`)
    await page.locator('.connection', { hasText: 'live' }).waitFor()
  },
  'what was refused while the chat was away is sent once it is there': async () => {
    await page.locator('.note', { hasText: 'sends' }).waitFor()
    await ask('away', 'yes')
    await page.locator('#composer').fill('Are you there?')
    await page.keyboard.press('Enter')
    await page.locator('.sending .error', { hasText: 'Temporal is starting' }).waitFor()
    await page.locator('.note', { hasText: 'Temporal is starting' }).waitFor()
    await ask('away', 'no')
    await text('Are you there?').waitFor()
    await page.locator('.sending').waitFor({ state: 'detached' })
  },
  'a request for approval that is out of sight is announced, and found; its answer is tried again': async () => {
    const log = page.locator('main [role=log]')
    await log.hover()
    await page.waitForFunction(() => document.querySelector('.sending') === null)
    for (let tries = 0; tries < 100 && (await page.locator('.pill', { hasText: 'To the end' }).count()) === 0; tries++) {
      await page.mouse.wheel(0, -3000)
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
    }
    await ask('asks', 'chat-a')
    await page.getByRole('button', { name: 'Approval needed ↓' }).click()
    await page.locator('[role=status]', { hasText: 'assistant: May I search?. search needs your approval' }).waitFor({ state: 'attached' })
    await page.locator('.pill', { hasText: 'Approval' }).waitFor({ state: 'detached' })
    await ask('away', 'yes')
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.locator('.approval .error', { hasText: 'Temporal is starting' }).waitFor()
    await page.locator('.note', { hasText: 'Temporal is starting' }).waitFor()
    await ask('away', 'no')
    await page.locator('.approval .error').waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.locator('.tool .state', { hasText: 'answered' }).waitFor()
  },
  'a token that is no longer accepted is asked for again, over what is on the screen': async () => {
    await ask('token', 'better')
    await page.locator('#composer').fill('Still here')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').filter({ hasText: 'refused the token' }).waitFor()
    await text('Are you there?').waitFor()
    await page.locator('#composer').fill('not sent yet')
    await signIn('better')
    await text('Still here').waitFor()
    if ((await page.locator('#composer').inputValue()) !== 'not sent yet') throw new Error('what was written is lost')
    await field.waitFor({ state: 'detached' })
  },
  'who signs out leaves nothing': async () => {
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    if ((await page.locator('.sidebar li').count()) + (await page.locator('main .markdown').count()) > 0) throw new Error('something is left')
    await page.reload()
    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  },
})
await browser.close()
process.exit()
