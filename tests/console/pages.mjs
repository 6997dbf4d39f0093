// The console's pages in a browser: node pages.mjs ADDRESS [word of the tests to run]
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { accessible, address, api, finish, looks, names, shots, slow, test } from './browser.mjs'

// What the data has: a user with a past, an item and how it is found.
const movielens = process.env.WINNOW_DATA === 'movielens'
const known = movielens ? { user: '1', item: '260', words: 'star wars' } : { user: 'this-machine', item: 'apache2', words: 'apache2' }

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

await test('try: pictures where the catalogue has them', `#/try?user=${known.user}&surface=popular`, async (page) => {
  const dot = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')
  await page.route('https://pictures.test/*', (route) => route.fulfill({ contentType: 'image/png', body: dot }))
  await page.locator('ol.slate li').first().waitFor()
  const [first] = await names(page)
  await api('PATCH', '/v1/items/' + encodeURIComponent(first), { attributes: { image: 'https://pictures.test/one.png' } })
  try {
    await page.reload()
    await page.waitForFunction(() => document.querySelector('ol.slate li img')?.naturalWidth === 1)
    assert.equal(await page.locator('ol.slate img').count(), 1)
  } finally {
    await api('PATCH', '/v1/items/' + encodeURIComponent(first), { attributes: { image: null } })
  }
})

await test('try: a hidden item vanishes', `#/try?user=${known.user}`, async (page) => {
  await page.locator('ol.slate li').first().waitFor()
  const [first] = await names(page)
  await api('PATCH', '/v1/items/' + encodeURIComponent(first), { status: 'hidden' })
  try {
    await page.locator('ol.slate li').nth(1).getByRole('button', { name: /^Click on / }).click()
    await page.waitForFunction((id) => ![...document.querySelectorAll('ol.slate li')].some((li) => li.dataset.item === id), first)
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
  await page.getByText('Slates a second').locator('..').getByText(/\d\.\d/).waitFor() // two readings make a rate
  await page.getByRole('heading', { name: 'Is it any good?' }).waitFor()
  await page.getByText(/showing everybody what is popular: |over it on the same/).first().waitFor()
  await page.getByRole('group', { name: 'The last trainings' }).waitFor()
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

if (!shots) await test('markup stays text on every other page', '#/overview', async (page) => {
  const clean = async () => {
    assert.equal(await page.locator('main script, main img, main b:not(.num)').count(), 0)
    assert.ok(!(await page.title()).startsWith('1'))
  }
  await page.getByRole('heading', { name: 'Is it any good?' }).waitFor()
  await clean()
  // A run that somebody wrote by hand, with a report that has a script.
  await page.goto(`${address}/#/lab?kind=${encodeURIComponent('check')}`)
  await page.getByText('<img src=x onerror=alert(1)>').first().waitFor()
  await clean()
  await page.goto(`${address}/#/lab?view=reports`)
  await page.getByRole('row', { name: /<script>/ }).getByRole('button', { name: 'Open' }).click()
  const frame = page.frameLocator('iframe')
  await frame.getByText('I am a report').waitFor()
  assert.equal(await frame.locator('body').getAttribute('data-ran'), null, 'a report’s script did not run')
  await clean()
  await page.goto(`${address}/#/map?item=${encodeURIComponent('x"><script>alert(1)</script>')}`)
  await page.getByRole('heading', { name: /<img src=x/ }).waitFor()
  await clean()
  await page.goto(`${address}/#/rules?surface=${encodeURIComponent('<img src=x>')}`)
  await page.getByRole('combobox', { name: 'Item to pin there' }).fill('script alert')
  await page.getByRole('listbox').getByText('<img src=x').waitFor()
  await clean()
  await page.goto(`${address}/#/experiments?experiment=${encodeURIComponent('<img src=x>')}`)
  await page.getByRole('heading', { name: 'Experiments' }).waitFor()
  await clean()
  await page.goto(`${address}/#/health`)
  await page.getByRole('heading', { name: 'Who did what' }).waitFor()
  await clean()
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
  // A pan that goes on: how far frames are apart here, and what the script itself costs, with the drawing left to the GPU.
  const [apart, cost] = await page.evaluate(async () => {
    const { points } = document.querySelector('canvas')
    const middle = (list) => list.sort((a, b) => a - b)[list.length >> 1]
    const gaps = []
    for (let i = 0, was = await new Promise(requestAnimationFrame); i < 7; i++) {
      points.pan(3, 0)
      const now = await new Promise(requestAnimationFrame)
      gaps.push(now - was)
      was = now
    }
    const took = []
    for (let i = 0; i < 3; i++) {
      const t = performance.now()
      points.x += 0.001
      points.draw()
      took.push(performance.now() - t)
      await new Promise(requestAnimationFrame)
    }
    return [gaps.sort((a, b) => a - b), middle(took)]
  })
  console.log(`      a pan with ${total} points: frames ${apart[3].toFixed(1)} ms apart (median; ${apart[0].toFixed(1)} to ${apart[6].toFixed(1)}), of which ${cost.toFixed(2)} ms are script, the rest is a GPU made of software`)
  assert.ok(cost < 16 * slow, `${cost} ms of script a frame: 60 frames a second are out of reach`)
  await page.mouse.wheel(0, -600)
  await page.getByRole('combobox', { name: 'Find' }).fill(known.words)
  await page.getByRole('option').first().waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: /Near it/ }).waitFor()
  const near = (await api('GET', `/v1/items/${known.item}/similar?n=15`)).items.map((i) => i.title ?? i.id)
  const told = await page.getByRole('complementary').innerText()
  assert.ok(near.slice(0, 5).every((title) => told.includes(title.split(': ')[0])), `neighbours ${near.slice(0, 5)} in ${told}`)
  await page.getByRole('button', { name: 'Let go' }).click()
  await page.getByRole('button', { name: 'All', exact: true }).click()
  await page.getByRole('button', { name: 'Lasso' }).click()
  await page.mouse.move(cx - 150, cy - 150)
  await page.mouse.down()
  for (const [x, y] of [[150, -150], [150, 150], [-150, 150]]) await page.mouse.move(cx + x, cy + y, { steps: 2 })
  await page.mouse.up()
  await page.getByRole('heading', { name: /[\d,]+ items/ }).waitFor()
  const saved = []
  const both = new Promise((resolve) => page.on('download', (one) => saved.push(one) === 2 && resolve()))
  await page.getByRole('button', { name: 'TSV' }).click()
  await both
  const files = await Promise.all(saved.map(async (one) => [one.suggestedFilename(), readFileSync(await one.path(), 'utf8').trimEnd().split('\n')]))
  for (const [name, lines] of files) {
    const head = /metadata/.test(name) ? 1 : 0
    assert.match(name, /^winnow-.*\.tsv$/)
    assert.equal(lines.length, total + head, name)
    assert.equal(new Set(lines.map((line) => line.split('\t').length)).size, 1, `${name}: every line has as many columns`)
  }
})

const now = () => api('GET', '/v1/config')
const editor = (page) => page.getByRole('textbox', { name: 'The configuration as YAML' })

await test('rules: an edit is marked, previewed, saved, reverted', '#/rules', async (page) => {
  const before = await now()
  await editor(page).waitFor()
  assert.equal(await editor(page).inputValue(), before.text)
  await page.getByRole('button', { name: 'As stages' }).click()
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

await test('rules: the form writes the text', '#/rules?surface=home', async (page) => {
  const before = await now()
  const text = () => editor(page).inputValue()
  const has = (what) => page.waitForFunction((w) => document.querySelector('textarea[aria-label^="The configuration"]').value.includes(w), what)
  await page.getByRole('spinbutton', { name: 'Weight of covisit' }).fill('0.9')
  await page.keyboard.press('Tab')
  await has('model: covisit, quota: 200, weight: 0.9')
  await page.getByRole('textbox', { name: 'Condition of a new boost' }).fill(movielens ? '"Comedy" in genres' : 'section == "games"')
  await page.getByRole('button', { name: 'Add boost' }).click()
  await has('factor: 1.5')
  await page.getByRole('spinbutton', { name: 'Factor of boost 1' }).fill('2')
  await page.keyboard.press('Tab')
  await has('factor: 2')
  await page.getByRole('spinbutton', { name: 'Place of a new pin' }).fill('3')
  await page.getByRole('combobox', { name: 'Item to pin there' }).fill(known.words)
  await page.getByRole('listbox').getByRole('option').first().waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await has('position: 3')
  await page.getByRole('textbox', { name: 'Filter: only items for which' }).fill('no such thing')
  await page.keyboard.press('Tab')
  await page.getByRole('button', { name: /^line \d+/ }).waitFor() // what is wrong is told with its place
  await page.getByRole('textbox', { name: 'Filter: only items for which' }).fill(movielens ? 'not ("Horror" in genres)' : 'not (section == "debug")')
  await page.keyboard.press('Tab')
  await page.getByRole('textbox', { name: 'A new objective: event type' }).fill('like')
  await page.getByRole('button', { name: 'Add objective' }).click()
  await has('objectives:')
  await page.getByRole('spinbutton', { name: 'Worth of like' }).fill('0.5')
  await page.keyboard.press('Tab')
  await has('weight: 0.5')
  await page.getByText(/^Good\. .*home/).waitFor()
  for (const line of before.text.split('\n').filter((l) => l.trim().startsWith('#'))) assert.ok((await text()).includes(line.trim()), `the comment is kept: ${line}`)
  await page.getByRole('button', { name: /^Preview/ }).click()
  await page.locator('[data-preview-summary]').getByText(/\d+ of \d+ slates/).waitFor()
  await page.evaluate(() => scrollTo(0, 0))
  await looks(page, 'rules-form')
  await page.getByLabel('Why (for the history)').fill('by the form')
  await page.getByRole('button', { name: /^Save/ }).click()
  await page.getByText(`Version ${before.version + 1} serves.`).waitFor()
  const shown = (await api('POST', '/v1/surfaces/home/explain', { user: 'nobody-yet' })).items
  assert.equal(shown[2].id, known.item)
  // Taken away again, the text says nothing of them.
  await page.getByRole('button', { name: 'Remove boost 1' }).click()
  await page.getByRole('button', { name: `Unpin ${known.item}` }).click()
  await page.waitForFunction(() => !/boosts|pins/.test(document.querySelector('textarea[aria-label^="The configuration"]').value))
  await page.getByRole('button', { name: 'Discard' }).click()
  await page.getByRole('button', { name: `Revert to ${before.version}`, exact: true }).click()
  await page.getByText(`Version ${before.version + 2} serves.`).waitFor()
  assert.equal((await now()).text, before.text)
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
  // Nothing speaks for it yet: it is refused with the reason, and then forced.
  await page.getByRole('combobox', { name: 'Arm' }).selectOption('short')
  await page.getByRole('button', { name: 'Promote' }).click()
  await page.getByRole('button', { name: 'Really give short to everybody' }).click()
  await page.getByRole('alert').getByText(/^Not promoted: short is /).waitFor()
  assert.equal((await api('GET', '/v1/experiments')).experiments.find((e) => e.name === name).state, 'running')
  await page.getByRole('button', { name: 'Leave it' }).click()
  await page.getByRole('button', { name: 'Stop', exact: true }).click()
  await page.getByRole('button', { name: 'Really stop' }).click()
  await page.getByRole('navigation', { name: 'Experiments' }).getByText('stopped').first().waitFor()
})

await test('lab: runs, bias, behaviour', '#/lab', async (page) => {
  await page.getByRole('region', { name: 'Runs' }).getByRole('button').first().waitFor()
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

await test('lab: two evaluations side by side, and a report', '#/lab?kind=evaluate', async (page) => {
  await page.getByLabel('compare with').selectOption({ index: 1 })
  const both = page.getByRole('group', { name: 'Side by side' })
  await both.getByRole('cell', { name: 'covisit', exact: true }).waitFor()
  assert.ok((await both.getByRole('row').count()) >= 4)
  await accessible(page)
  const { runs } = await api('GET', '/v1/runs?kind=evaluate')
  await page.goto(`${address}/#/lab?run=${runs[0].id}`)
  await page.getByRole('button', { name: 'Open its report' }).click()
  const frame = page.frameLocator('iframe')
  await frame.getByRole('heading').first().waitFor()
  assert.equal(await page.locator('iframe').getAttribute('sandbox'), '')
  assert.match(await frame.locator('body').innerText(), /covisit/)
  await looks(page, 'lab-reports')
  const saved = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Save' }).first().click()
  assert.match((await saved).suggestedFilename(), /^winnow-.*\.html$/)
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
  for (const [key, path] of Object.entries({ o: 'overview', t: 'try', f: 'funnel', i: 'items', u: 'users', m: 'map', e: 'experiments', l: 'lab', r: 'rules', h: 'health' })) {
    await page.keyboard.press('g')
    await page.keyboard.press(key)
    await page.waitForURL(new RegExp(`#/${path}`))
    await page.waitForFunction(() => document.activeElement?.id === 'main') // a new page is told to readers of the screen
  }
})

await test('keys: the first is the way past the menu', '#/items', async (page) => {
  const focus = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id)
  await page.getByRole('heading', { name: 'Items', exact: true }).waitFor()
  await page.keyboard.press('Tab')
  assert.equal(await focus(), 'Skip to the page')
  await page.keyboard.press('Tab')
  assert.equal(await focus(), 'Winnow')
  for (const name of ['Overview', 'Try it', 'Funnel']) {
    await page.keyboard.press('Tab')
    assert.equal(await focus(), name)
  }
  await page.locator('a.skip').focus()
  await page.keyboard.press('Enter')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main')
  await page.keyboard.press('Tab')
  assert.ok(await page.evaluate(() => document.activeElement.closest('main') !== null && document.activeElement.matches('input')))
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

await finish()
