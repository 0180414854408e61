// Usage: chat.mjs ORIGIN. Chats with the demo workflow of a whole stack, with Temporal. It prints "done", or what has gone wrong.
import { launch, run, watch } from './browser.mjs'

const [origin] = process.argv.slice(2)
const findings = []
const browser = await launch()
const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' })
page.setDefaultTimeout(60_000)
await watch(page, origin, findings)
const text = 'The sea is wide. A river is long and slow where the land is flat. Mountains carry snow until the spring. '
const open = async (workflow) => {
  await page.goto(`${origin}/?workflow=${workflow}`)
  await page.locator('.connection', { hasText: 'live' }).waitFor()
  await page.locator('.note', { hasText: 'sends' }).waitFor()
}
const say = async (words) => {
  await page.locator('#composer').fill(words)
  await page.keyboard.press('Enter')
}
const answer = (words) => page.locator('main .message.assistant[data-complete=true]', { hasText: words })
const status = (word) => page.locator('.progressing', { hasText: word })
const is = (what, wanted) => {
  if (!wanted) throw new Error(`not so: ${what}`)
}

// look notes in the page how long the growing answer is with each change of it; nothing happens too fast for that. It calls then once, with
// the second of these lengths.
const look = (then) =>
  page.evaluate((then) => {
    const lengths = (globalThis.lengths = [])
    new MutationObserver(() => {
      const growing = document.querySelector('main .message.assistant[data-complete=false] > .markdown')
      const length = growing?.textContent.length ?? 0
      if (length === 0 || length === lengths.at(-1)) return
      lengths.push(length)
      if (then && lengths.length === 2) document.querySelector(then).click()
    }).observe(document.querySelector('main'), { childList: true, subtree: true, characterData: true })
  }, then)

await run(findings, {
  'a message is sent, and its answer grows until it is complete': async () => {
    await open('page_grows')
    await look()
    await say(text)
    await answer('reading time').waitFor()
    await status('done').waitFor()
    const lengths = await page.evaluate(() => globalThis.lengths)
    is(`the answer grew in more than two steps: ${lengths}`, lengths.length > 2 && lengths.every((n, i) => i === 0 || n > lengths[i - 1]))
    is('the message is shown once', (await page.locator('main .message.user').count()) === 1)
    is('it is not being sent any more', (await page.locator('.sending').count()) === 0)
    await page.reload()
    await answer('reading time').waitFor()
    is('the answer is shown once', (await page.locator('main .message.assistant').count()) === 1)
  },
  'an answer is stopped in the middle, and the next message is answered': async () => {
    await open('page_stops')
    await look('.stop')
    await say(text.repeat(20))
    await status('stopped').waitFor()
    await page.locator('main .message.assistant .tag', { hasText: 'stopped' }).waitFor()
    is('what was not said yet is not shown', (await answer('reading time').count()) === 0)
    await say('And now?')
    await answer('reading time').waitFor()
  },
  'a call of a tool is approved': async () => {
    await open('page_approves')
    await say(text.repeat(300))
    await status('waiting').waitFor()
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByRole('group', { name: 'Tool full_analysis, done' }).waitFor()
    await answer('reading time').waitFor()
    is('nothing asks any more', (await page.locator('.approval').count()) === 0)
  },
  'a call of a tool is denied': async () => {
    await open('page_denies')
    await say(text.repeat(300))
    await status('waiting').waitFor()
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByRole('group', { name: 'Tool full_analysis, denied' }).waitFor()
    await page.getByRole('group', { name: 'Tool word_statistics, done' }).waitFor()
    await answer('reading time').waitFor()
  },
})
await browser.close()
process.exit(findings.length > 0 ? 1 : 0)
