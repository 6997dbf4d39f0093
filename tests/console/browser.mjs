// What the browser's tests share: a page a test; whatever it logs as an error, or throws, fails the test, and so does
// every violation that axe finds. Arguments of the programs: ADDRESS [word of the tests to run].
import { createRequire } from 'node:module'
import { mkdirSync, writeFileSync } from 'node:fs'
import assert from 'node:assert/strict'

const require = createRequire(new URL('../../console/package.json', import.meta.url))
const { chromium } = require('playwright-core')
const axe = require('axe-core').source
export const [address, only = ''] = process.argv.slice(2)
export const shots = process.env.WINNOW_SHOTS
export const slow = Number(process.env.WINNOW_SLOW ?? 1)
if (shots) mkdirSync(shots, { recursive: true })

const browser = await chromium.launch({
  executablePath: process.env.WINNOW_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
})
let failed = 0
let passed = 0

export async function test(name, hash, body, options = {}) {
  if (!name.includes(only)) return
  const begun = Date.now()
  const page = await browser.newPage({ viewport: { width: 1360, height: 900 }, bypassCSP: false, ...options })
  page.setDefaultTimeout(30_000 * slow) // a browser that draws in software beside other tests
  const troubles = []
  page.on('pageerror', (error) => troubles.push(`exception: ${error.message}`))
  page.on('dialog', (dialog) => (troubles.push(`dialog: ${dialog.message()}`), dialog.dismiss()))
  page.on('console', (message) => {
    // A refused request that a test provokes on purpose is logged by Chromium itself.
    // And that a report's script is blocked is what is wanted.
    const expected = ['Failed to load resource', 'Blocked script execution'].some((text) => message.text().startsWith(text))
    if (message.type() === 'error' && !expected) troubles.push(message.text())
  })
  try {
    await page.goto(`${address}/${hash}`)
    await body(page)
    assert.deepEqual(troubles, [])
    passed++
    console.log(`ok    ${name} (${Date.now() - begun} ms)`)
  } catch (error) {
    failed++
    console.log(`FAIL  ${name}: ${error.stack}\n${troubles.join('\n')}`)
  } finally {
    await page.close()
  }
}

/** axe's rules for WCAG 2 A and AA; run inside the page through the debugger, past the page's own policy. */
export async function accessible(page) {
  const session = await page.context().newCDPSession(page)
  await session.send('Runtime.evaluate', { expression: axe })
  const { result, exceptionDetails } = await session.send('Runtime.evaluate', {
    expression: `axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'] })
      .then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html + ' ' + n.failureSummary)])))`,
    awaitPromise: true,
    returnByValue: true,
  })
  assert.equal(exceptionDetails, undefined)
  assert.deepEqual(JSON.parse(result.value), [])
}

/** WebP, which Playwright itself does not write: a quarter of a PNG; a laptop's at four fifths, for the repository's sake. */
async function picture(page, name) {
  const session = await page.context().newCDPSession(page)
  const { width, height } = page.viewportSize()
  const clip = { x: await page.evaluate(() => scrollX), y: await page.evaluate(() => scrollY), width, height, scale: width > 1000 ? 0.8 : 1 }
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 38, clip })
  writeFileSync(`${shots}/${name}.webp`, Buffer.from(data, 'base64'))
}

const PHONE = { width: 390, height: 844 }

/** axe and, where asked for, a picture, in both colours; then as wide as a phone: nothing may stick out. */
export async function looks(page, name) {
  if (process.env.WINNOW_DATA === 'movielens') return // one data set tells
  const desk = page.viewportSize()
  for (const [size, where] of [[desk, ''], [PHONE, 'phone-']]) {
    await page.setViewportSize(size)
    for (const scheme of ['light', 'dark']) {
      if (where && scheme === 'dark' && !shots) continue // the colours were looked at above
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
      await page.waitForFunction((wanted) => document.documentElement.dataset.theme === wanted, scheme)
      await accessible(page)
      if (where) {
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(wide <= 0, `${name} is ${wide} px too wide for a phone`)
      }
      if (shots && !(where && name.includes('-'))) { // parts of pages: as wide as a laptop alone
        await page.waitForTimeout(400) // charts follow the colours
        await picture(page, `${name}-${where}${scheme}`)
      }
    }
  }
  await page.setViewportSize(desk)
}

export const api = async (method, path, body) => {
  const answer = await fetch(address + path, {
    method,
    headers: body ? { 'Content-Type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' } : {},
    body: body && JSON.stringify(body),
  })
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`)
  return answer.status === 204 ? null : answer.json()
}
export const names = (page, at = 0) =>
  page.locator('ol.slate').nth(at).locator('li').evaluateAll((all) => all.map((one) => one.dataset.item))

export async function finish() {
  await browser.close()
  console.log(`${passed} passed, ${failed} failed`)
  process.exit(failed === 0 && passed > 0 ? 0 : 1)
}
