// The console's pages in a browser: node pages.mjs ADDRESS [word of the tests to run]
// Each test has a page of its own; whatever it logs as an error, or throws, fails the test, and so does every
// violation that axe finds.
import { createRequire } from 'node:module'
import { mkdirSync, writeFileSync } from 'node:fs'
import assert from 'node:assert/strict'

const require = createRequire(new URL('../../console/package.json', import.meta.url))
const { chromium } = require('playwright-core')
const axe = require('axe-core').source
const [address, only = ''] = process.argv.slice(2)
const shots = process.env.WINNOW_SHOTS
const slow = Number(process.env.WINNOW_SLOW ?? 1)
// What the data has: a user with a past, an item and how it is found.
const movielens = process.env.WINNOW_DATA === 'movielens'
const known = movielens ? { user: '1', item: '260', words: 'star wars' } : { user: 'this-machine', item: 'apache2', words: 'apache2' }
if (shots) mkdirSync(shots, { recursive: true })

const browser = await chromium.launch({
  executablePath: process.env.WINNOW_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
})
let failed = 0
let passed = 0

async function test(name, hash, body, options = {}) {
  if (!name.includes(only)) return
  const begun = Date.now()
  const page = await browser.newPage({ viewport: { width: 1360, height: 900 }, bypassCSP: false, ...options })
  page.setDefaultTimeout(8000 * slow)
  const troubles = []
  page.on('pageerror', (error) => troubles.push(`exception: ${error.message}`))
  page.on('dialog', (dialog) => (troubles.push(`dialog: ${dialog.message()}`), dialog.dismiss()))
  page.on('console', (message) => {
    // A refused request that a test provokes on purpose is logged by Chromium itself.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) troubles.push(message.text())
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
async function accessible(page) {
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

/** WebP, which Playwright itself does not write: a quarter of a PNG. */
async function picture(page, name) {
  const session = await page.context().newCDPSession(page)
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 72 })
  writeFileSync(`${shots}/${name}.webp`, Buffer.from(data, 'base64'))
}

/** axe and, where asked for, a picture, in both colours. */
async function looks(page, name) {
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    await page.waitForTimeout(150)
    await accessible(page)
    if (shots) await picture(page, `${name}-${scheme}`)
  }
}

const api = async (method, path, body) => {
  const answer = await fetch(address + path, {
    method,
    headers: body ? { 'Content-Type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' } : {},
    body: body && JSON.stringify(body),
  })
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`)
  return answer.status === 204 ? null : answer.json()
}
const names = (page, at = 0) =>
  page.locator('ol.slate').nth(at).locator('li').evaluateAll((all) => all.map((one) => one.dataset.item))

await test('first page: small and soon there', '', async (page) => {
  await page.locator('main h1').first().waitFor()
  const [ready, bytes] = await page.evaluate(() => [
    performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd,
    [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]
      .filter((e) => e.name.includes('/console/') || e.entryType === 'navigation')
      .reduce((sum, e) => sum + e.transferSize, 0),
  ])
  console.log(`      interactive after ${Math.round(ready)} ms, ${bytes} bytes`)
  assert.ok(ready < 1000 * slow, `interactive after ${ready} ms`)
  assert.ok(bytes < 300_000, `${bytes} bytes`)
})

await test('try: a like changes the slate', `#/try?user=${known.user}`, async (page) => {
  await page.locator('ol.slate li').first().waitFor()
  await looks(page, 'try')
  await page.getByRole('button', { name: 'New', exact: true }).click()
  await page.waitForURL(/user=visitor-/)
  await page.getByText('Nothing yet').waitFor()
  const before = await names(page)
  await page.locator('ol.slate li').nth(2).getByRole('button', { name: /^Like / }).click()
  await page.getByText(/\d+ of \d+ new/).first().waitFor()
  const after = await names(page)
  assert.notDeepEqual(after, before)
  assert.ok(!after.includes(before[2]), 'what was liked has been seen')
  await page.getByRole('complementary').getByText('like').first().waitFor()
  await page.getByRole('button', { name: 'Forget this visitor' }).click()
  await page.getByText('Nothing yet').waitFor()
})

await test('try: someone who likes, two surfaces side by side', '#/try?user=nobody', async (page) => {
  await page.getByRole('combobox', { name: /^or someone who likes/ }).fill(known.words)
  await page.getByRole('option').first().waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await page.waitForURL(/user=visitor-/)
  await page.getByRole('complementary').getByText('like').first().waitFor()
  await page.getByLabel('Beside it').selectOption('popular')
  await page.locator('ol.slate').nth(1).locator('li').first().waitFor()
  assert.notDeepEqual(await names(page, 0), await names(page, 1))
})

await test('try: a hidden item vanishes', `#/try?user=${known.user}`, async (page) => {
  await page.locator('ol.slate li').first().waitFor()
  const [first] = await names(page)
  await api('PATCH', '/v1/items/' + encodeURIComponent(first), { status: 'hidden' })
  try {
    await page.locator('ol.slate li').nth(1).getByRole('button', { name: /^Click on / }).click()
    await page.locator(`ol.slate li[data-item="${first}"]`).waitFor({ state: 'detached' })
  } finally {
    await api('PATCH', '/v1/items/' + encodeURIComponent(first), { status: 'active' })
  }
})

await test('funnel: the picture, and a missing item is explained', `#/funnel?user=${known.user}&why=${known.item}`, async (page) => {
  await page.getByRole('heading', { name: 'Scored' }).waitFor()
  assert.match(await page.getByRole('img', { name: /candidates/ }).getAttribute('aria-label'), /\d+ candidates, \d+ shown/)
  await looks(page, 'funnel')
  const shown = await page.locator('.moves li').count()
  assert.ok(shown > 5)
  // One that is not there: number 150 by score.
  const trace = (await api('POST', '/v1/surfaces/home/explain', { user: known.user })).explain
  const far = trace.score.candidates.at(-1).item
  await page.getByRole('combobox', { name: 'Why is this item not here?' }).fill(far)
  await page.keyboard.press('Enter')
  await page.getByText(/It was a candidate, number \d+ by score/).waitFor()
  assert.match(page.url(), /why=/)
  await page.locator('.moves li button').first().click()
  await page.getByText(/It is shown at place 1/).waitFor()
  await page.getByRole('combobox', { name: 'Why is this item not here?' }).fill('no-such-item-at-all')
  await page.keyboard.press('Enter')
  await page.getByText('There is no item of this id').waitFor()
  await page.getByRole('textbox', { name: 'Filter' }).fill('section === 1')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').getByText('filter').waitFor()
})

await test('overview: what is served, and what came of it', '#/overview', async (page) => {
  await page.getByText(/slates? with .* impressions/).waitFor()
  await page.locator('canvas').last().waitFor()
  await page.waitForTimeout(3500) // two readings make a rate
  await looks(page, 'overview')
  await page.getByRole('button', { name: '7 days' }).click()
  await page.waitForURL(/hours=168/)
  await page.getByRole('cell', { name: 'home' }).waitFor()
})

await test('items: search, hide and show again, edit', '#/items', async (page) => {
  await page.locator('input[data-search]').fill(known.words)
  await page.locator(`a[href*="item=${known.item}"]`).first().click()
  await page.getByRole('heading', { name: 'Near it' }).waitFor()
  await looks(page, 'items')
  await page.getByRole('button', { name: 'Hide' }).click()
  await page.getByText('no slate shows it from now on').waitFor()
  assert.equal((await api('GET', '/v1/items/' + known.item)).status, 'hidden')
  await page.getByRole('button', { name: 'Show again' }).click()
  await page.getByRole('button', { name: 'Hide' }).waitFor()
  await page.getByRole('button', { name: 'Edit' }).click()
  const title = page.getByRole('textbox', { name: 'Title' })
  const old = await title.inputValue()
  await title.fill(known.item + ': <u>edited</u>')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('<u>edited</u>').first().waitFor()
  await api('PATCH', '/v1/items/' + known.item, { title: old })
  await page.getByLabel('Condition').fill('section == "nowhere"')
  await page.keyboard.press('Enter')
  await page.getByText('Nothing found').waitFor()
})

await test('users: history and users alike', `#/users?user=${known.user}`, async (page) => {
  await page.getByRole('heading', { name: 'History' }).waitFor()
  assert.ok((await page.locator('section[aria-label=History] tbody tr').count()) > 0)
  await page.locator('.alike li').first().waitFor()
  await looks(page, 'users')
  await page.locator('.alike a').first().click()
  await page.waitForURL((url) => !url.href.endsWith(`user=${known.user}`))
})

await test('items: markup stays text', '#/items?item=' + encodeURIComponent('x"><script>alert(1)</script>'), async (page) => {
  await page.getByRole('heading', { name: /<img src=x/ }).waitFor()
  await page.getByText('<b>bold</b>').first().waitFor()
  assert.equal(await page.locator('main script, main b:not(.num), main img').count(), 0)
  await page.goto(`${address}/#/funnel?user=${encodeURIComponent('<i>evil</i>')}&why=${encodeURIComponent('x"><script>alert(1)</script>')}`)
  await page.getByText(/This user has met it/).waitFor()
  await page.goto(`${address}/#/users?user=${encodeURIComponent('<i>evil</i>')}`)
  await page.getByRole('heading', { name: '<i>evil</i>' }).waitFor()
  assert.equal(await page.locator('main script, main img').count(), 0)
})

await test('map: all items, panned, searched, caught', '#/map', async (page) => {
  await page.getByText(/items, snapshot/).waitFor()
  await page.waitForFunction(() => document.querySelector('canvas')?.points?.frames > 0)
  const total = (await api('GET', '/v1/map')).id.length
  const items = (await api('GET', '/readyz')).items_servable
  assert.ok(total > 0.99 * items - 10, `${total} of ${items} items are on the map`)
  console.log(`      ${total} points`)
  await page.waitForTimeout(300)
  await looks(page, 'map')
  const box = await page.locator('canvas').boundingBox()
  const [cx, cy] = [box.x + box.width / 2, box.y + box.height / 2]
  const before = await page.evaluate(() => [document.querySelector('canvas').points.x, document.querySelector('canvas').points.frames])
  await page.mouse.move(cx, cy)
  await page.mouse.down()
  const begun = Date.now()
  for (let i = 1; i <= 8; i++) await page.mouse.move(cx + 15 * i, cy)
  await page.mouse.up()
  const after = await page.evaluate(() => [document.querySelector('canvas').points.x, document.querySelector('canvas').points.frames])
  assert.ok(after[0] < before[0], 'dragging to the right shows what is on the left')
  console.log(`      ${after[1] - before[1]} frames in ${Date.now() - begun} ms of dragging, drawn by software`)
  // What the script itself costs a frame, with the drawing left to the GPU.
  const cost = await page.evaluate(async () => {
    const { points } = document.querySelector('canvas')
    const took = []
    for (let i = 0; i < 7; i++) {
      const t = performance.now()
      points.x += 0.001
      points.draw()
      took.push(performance.now() - t)
      await new Promise(requestAnimationFrame)
    }
    return took.sort((a, b) => a - b)[3]
  })
  console.log(`      ${cost.toFixed(2)} ms of script a frame`)
  assert.ok(cost < 16 * slow)
  await page.mouse.wheel(0, -600)
  await page.getByRole('combobox', { name: 'Find' }).fill(known.words)
  await page.getByRole('option').first().waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: /Near it/ }).waitFor()
  await page.getByRole('button', { name: 'Let go' }).click()
  await page.getByRole('button', { name: 'All', exact: true }).click()
  await page.getByRole('button', { name: 'Lasso' }).click()
  await page.mouse.move(cx - 150, cy - 150)
  await page.mouse.down()
  for (const [x, y] of [[150, -150], [150, 150], [-150, 150]]) await page.mouse.move(cx + x, cy + y, { steps: 2 })
  await page.mouse.up()
  await page.getByRole('heading', { name: /[\d,]+ items/ }).waitFor()
  const saved = page.waitForEvent('download')
  await page.getByRole('button', { name: 'TSV' }).click()
  assert.match((await saved).suggestedFilename(), /winnow-.*\.tsv/)
})

const now = () => api('GET', '/v1/config')
const editor = (page) => page.getByRole('textbox', { name: 'The configuration as YAML' })

await test('rules: an edit is marked, previewed, saved, reverted', '#/rules', async (page) => {
  const before = await now()
  await editor(page).waitFor()
  assert.equal(await editor(page).inputValue(), before.text)
  await page.getByRole('heading', { name: 'Retrieve' }).waitFor()
  // What is wrong is told with its place, and cannot be saved.
  await editor(page).fill(before.text + '\nsurfacs: {}\n')
  const line = before.text.split('\n').length + 1
  await page.getByRole('button', { name: `line ${line}, column 1` }).waitFor()
  assert.ok(await page.getByRole('button', { name: /^Preview/ }).isDisabled())
  assert.equal(await page.getByRole('button', { name: /^Save/ }).count(), 0)
  // A pin, under a name that comes to be.
  const pinned = `${before.text.includes('surfaces:') ? before.text.replace('surfaces:', 'surfaces:\n  console-test:\n    flavour: personal\n    n: 5\n    retrieve: [{model: popular, quota: 50}]\n    order: {pins: [{item: "' + known.item + '", position: 2}]}') : ''}`
  assert.ok(pinned)
  await editor(page).fill(pinned)
  await page.getByText('Good. console-test added').waitFor()
  assert.equal(await page.getByRole('button', { name: /^Save/ }).count(), 0, 'first seen, then saved')
  await page.getByRole('button', { name: /^Preview/ }).click()
  await page.locator('[data-preview-summary]').getByText(/\d+ of \d+/).waitFor()
  assert.match(await page.locator('[data-preview-summary]').innerText(), /Drawn: \d+ users with a history, of [\d,]+ known/)
  assert.ok((await page.locator('ol.after li').count()) >= 5)
  await page.getByRole('button', { name: 'The next slate' }).click()
  await page.evaluate(() => scrollTo(0, 0))
  await looks(page, 'rules')
  await page.getByLabel('Why (for the history)').fill('tried by a test <b>')
  await page.getByRole('button', { name: /^Save/ }).click()
  await page.getByText(`Version ${before.version + 1} serves.`).waitFor()
  const shown = await api('GET', `/v1/surfaces/console-test/slate?user=${known.user}`)
  assert.equal(shown.items[1].id, known.item)
  await page.getByRole('cell', { name: 'tried by a test <b>' }).first().waitFor()
  await page.getByRole('button', { name: 'What it changed' }).first().click()
  await page.getByRole('region', { name: /^What version/ }).getByText('+  console-test:').waitFor()
  await page.getByRole('button', { name: `Revert to ${before.version}`, exact: true }).click()
  await page.getByText(`Version ${before.version + 2} serves.`).waitFor()
  assert.equal((await now()).text, before.text)
  const gone = await fetch(`${address}/v1/surfaces/console-test/slate?user=${known.user}`)
  assert.equal(gone.status, 404)
})

await test('rules: of two editors one is told', '#/rules', async (page) => {
  const before = await now()
  await editor(page).fill(before.text + '# mine\n')
  await page.getByText('No surface changes.', { exact: false }).first().waitFor()
  await page.getByRole('button', { name: /^Preview/ }).click()
  await page.getByRole('button', { name: /^Save/ }).waitFor()
  await api('PUT', '/v1/config', { text: before.text + '# yours\n', based_on: before.version })
  await page.getByRole('button', { name: /^Save/ }).click()
  await page.getByRole('alert').getByText(/serves, and this is based on/).waitFor()
  await api('PUT', '/v1/config', { text: before.text, based_on: before.version + 1 })
})

await test('experiments: declared, watched, ramped, stopped', '#/experiments', async (page) => {
  await page.getByRole('button', { name: 'Declare one' }).click()
  const name = 'console-' + Date.now().toString(36)
  await page.getByRole('textbox', { name: 'As JSON' }).fill(JSON.stringify({ name, traffic: 0.5, arms: { control: {}, short: { surfaces: { popular: { n: 7 } } } }, metrics: [{ kind: 'conversion', type: 'like' }, { kind: 'count', type: 'like' }] }))
  await page.getByRole('button', { name: 'Begin' }).click()
  await page.getByRole('heading', { name, exact: true }).waitFor()
  // Some take part, and some of them like what they see.
  const visit = async (i) => {
    const slate = await api('GET', `/v1/surfaces/popular/slate?user=${name}-${i}`)
    if (i % 3 === 0) await api('POST', '/v1/events', { user: `${name}-${i}`, item: slate.items[0].id, type: 'like', slate: slate.slate })
  }
  for (let i = 0; i < 300; i += 20) await Promise.all(Array.from({ length: 20 }, (_, k) => visit(i + k)))
  await page.reload()
  await page.getByRole('heading', { name: 'Who took part' }).waitFor()
  const units = await page.locator('section[aria-label="Who took part"] tbody tr').evaluateAll((rows) => rows.map((r) => Number(r.cells[1].innerText)))
  assert.ok(units.length === 2 && units[0] > 0 && units[1] > 0, String(units))
  await page.getByText('guards').first().waitFor()
  await looks(page, 'experiments')
  await page.getByLabel('Traffic, %').fill('80')
  await page.getByRole('button', { name: 'Ramp up' }).click()
  await page.getByText('Done: it counts').waitFor()
  assert.equal((await api('GET', '/v1/experiments')).experiments.find((e) => e.name === name).traffic, 0.8)
  await page.getByRole('button', { name: 'Stop', exact: true }).click()
  await page.getByRole('button', { name: 'Really stop' }).click()
  await page.getByRole('navigation', { name: 'Experiments' }).getByText('stopped').first().waitFor()
})

await test('lab: runs, bias, behaviour', '#/lab', async (page) => {
  await page.getByRole('region', { name: 'Runs' }).getByRole('button').first().waitFor()
  await page.getByLabel('Kind').selectOption('evaluate')
  await page.getByRole('heading', { name: /^Models at/ }).waitFor()
  await page.getByText(/^Population: \d+ users? of/).waitFor()
  await page.getByRole('heading', { name: 'Bias' }).waitFor()
  await looks(page, 'lab')
  await page.getByLabel('Kind').selectOption('check')
  await page.getByRole('heading', { name: /^Behaviour of home/ }).waitFor()
  assert.ok((await page.locator('section[aria-label=Behaviour] tbody tr').count()) > 5)
  await page.getByLabel('Kind').selectOption('train')
  await page.getByRole('heading', { name: 'Numbers' }).waitFor()
})

await test('health: snapshots are verified and served', '#/health', async (page) => {
  await page.getByText('It serves, and takes events').waitFor()
  await looks(page, 'health')
  await page.getByRole('heading', { name: 'Who did what' }).waitFor()
  await page.getByRole('heading', { name: 'Drift' }).waitFor()
  await page.getByRole('button', { name: 'Verify all' }).click()
  await page.getByText(/is as it was written/).waitFor()
  await page.getByRole('searchbox').fill('commit')
  assert.ok((await page.locator('.metrics tbody tr').count()) < 20)
})

await test('keys: search, help, places', `#/try?user=${known.user}`, async (page) => {
  await page.locator('ol.slate li').first().waitFor()
  await page.keyboard.press('/')
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('role')), 'combobox')
  await page.keyboard.press('Escape')
  await page.locator('h1').click()
  await page.keyboard.press('?')
  await page.getByRole('heading', { name: 'Keys' }).waitFor()
  await page.keyboard.press('Escape')
  await page.keyboard.press('g')
  await page.keyboard.press('t')
  assert.match(page.url(), /#\/try/)
})

await test('an unknown surface is told', '#/try?user=ann&surface=nowhere', async (page) => {
  await page.getByRole('alert').getByText('no surface').waitFor()
})

await test('without an API key the console asks for it', '', async (page) => {
  let refuse = true
  await page.route('**/v1/**', (route) => {
    const key = route.request().headers().authorization
    if (refuse && key !== 'Bearer s3cret')
      return route.fulfill({
        status: 401,
        contentType: 'application/problem+json',
        body: JSON.stringify({ type: 'urn:winnow:problem:unauthorised', title: 'unauthorised', status: 401, detail: 'a key is needed' }),
      })
    return route.continue()
  })
  await page.goto(`${address}/#/try?user=ann`)
  await page.reload()
  await page.getByLabel('API key', { exact: true }).fill('s3cret')
  await page.getByRole('button', { name: 'Go on' }).click()
  await page.locator('ol.slate li').first().waitFor()
})

await test('markup in titles and ids stays text', '#/try?user=' + encodeURIComponent('<i>evil</i>') + '&surface=popular', async (page) => {
  await page.locator('ol.slate li').first().waitFor()
  await page.getByRole('complementary').getByText('onerror').first().waitFor()
  assert.equal(await page.locator('main img[src="x"], main i:not([style]), main b, main script').count(), 0)
  await page.getByRole('combobox', { name: /^or someone who likes/ }).fill('script alert')
  await page.getByRole('option').first().waitFor()
  assert.ok((await page.getByRole('option').first().innerText()).includes('<img src=x'))
  assert.equal(await page.locator('main script, main img').count(), 0)
})

await test('a phone', `#/try?user=${known.user}`, async (page) => {
  await page.locator('ol.slate li').first().waitFor()
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  assert.ok(wide <= 0, `${wide} px too wide`)
  if (shots) await picture(page, 'phone-light')
}, { viewport: { width: 390, height: 844 } })

await browser.close()
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
