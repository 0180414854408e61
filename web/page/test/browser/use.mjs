// Usage: use.mjs ORIGIN. Uses the page as a person does, by keyboard and mouse. It prints what is to be done to the database, "write
// WORKFLOW TEXT" or "erase WORKFLOW", or to the server, "kill" or "start", and waits for a line of the input after each. In the end it
// prints "done", or what has gone wrong.
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
const query = (name, value) => page.waitForFunction(([n, v]) => new URL(location.href).searchParams.get(n) === v, [name, value])
const text = (words) => page.locator('main .markdown', { hasText: words }).first().waitFor()
const workflow = (id) => page.locator('main h1', { hasText: id }).waitFor()

const steps = {
  'who comes without an address is told what to type, and sees the first workflow when there is one': async () => {
    await page.goto(`${origin}/`)
    await page.getByRole('heading', { name: 'No workflow yet' }).waitFor()
    await ask('write', 'chat-a', 'the first row')
    await workflow('chat-a')
    await text('the first row')
  },
  'a row appears while one looks': async () => {
    await ask('write', 'chat-a', 'by **hand**')
    await page.locator('main strong', { hasText: 'hand' }).waitFor()
    await page.locator('.connection', { hasText: 'live' }).waitFor()
  },
  'messages of another workflow are counted until they are read; keys go from one to the other, and back goes back': async () => {
    await ask('write', 'chat-b', 'elsewhere')
    await page.locator('.sidebar .unread', { hasText: /^1 new message$/ }).waitFor()
    await ask('write', 'chat-b', 'elsewhere, again')
    await page.locator('.sidebar .unread', { hasText: /^2 new messages$/ }).waitFor()
    await page.keyboard.press('k')
    await workflow('chat-b')
    await text('elsewhere')
    await page.locator('.sidebar .unread').waitFor({ state: 'detached' })
    await text('elsewhere, again')
    await page.keyboard.press('j')
    await workflow('chat-a')
    await page.goBack()
    await workflow('chat-b')
  },
  'the list is searched': async () => {
    await page.keyboard.press('/')
    await page.keyboard.type('at-a')
    await page.waitForFunction(() => document.querySelectorAll('.sidebar li').length === 1)
    await query('search', 'at-a')
    await page.keyboard.press('Escape')
    await page.keyboard.press('k')
    await workflow('chat-a')
  },
  'an item is shown as JSON, and a reload shows the same screen': async () => {
    await page.locator('.message .time').first().press('Enter')
    await page.locator('dialog .code', { hasText: '"message": "the first row"' }).waitFor()
    await page.reload()
    await page.locator('dialog .code', { hasText: '"message": "the first row"' }).waitFor()
    await page.keyboard.press('Escape')
    await page.locator('dialog').waitFor({ state: 'detached' })
  },
  'the way is changed': async () => {
    await page.locator('.wire select').selectOption('socket')
    await query('via', 'socket')
    await ask('write', 'chat-a', 'over the socket')
    await text('over the socket')
    if ((await page.locator('main .message').count()) !== 3) throw new Error('the messages are not those of before and the new one')
  },
  'the wire and the help are opened and closed by keys': async () => {
    await page.locator('main .scroller').focus()
    await page.keyboard.press('.')
    await page.locator('.wire').waitFor({ state: 'hidden' })
    await page.keyboard.press('.')
    await page.locator('.wire').waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keys' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  },
  'the scheme is chosen, and kept': async () => {
    await page.getByRole('button', { name: /^Colours/ }).click()
    await page.getByRole('button', { name: /^Colours/ }).click()
    await page.locator('html[data-theme=dark]').waitFor()
    await page.reload()
    await page.locator('html[data-theme=dark]').waitFor()
  },
  'what is erased is gone from the screen': async () => {
    await text('over the socket')
    await ask('erase', 'chat-a')
    await page.getByRole('heading', { name: 'This history was erased' }).waitFor()
    await ask('write', 'chat-a', 'anew')
    await text('anew')
  },
  'after a restart the list comes back with the conversation, and does not wait for its own turn': async () => {
    await page.evaluate(() => {
      const real = setTimeout
      globalThis.setTimeout = (f, ms, ...rest) => real(f, ms > 100 ? 1e9 : ms, ...rest) // nothing is tried again by itself
    })
    await ask('kill')
    await page.locator('.bar', { hasText: 'Reconnecting' }).waitFor()
    await page.locator('.foot p', { hasText: 'Reconnecting' }).waitFor()
    await ask('start')
    await page.evaluate(() => dispatchEvent(new Event('online'))) // the conversation's stream connects
    await page.locator('.connection', { hasText: 'live' }).waitFor()
    await page.locator('.foot p', { hasText: /workflows$/ }).waitFor()
  },
}
await run(findings, steps)
await browser.close()
process.exit()
