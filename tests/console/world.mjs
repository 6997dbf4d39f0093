// Experiments and what they say of offline numbers, in a browser, against a server whose users were simulated for weeks:
// node world.mjs ADDRESS [word of the tests to run]
import assert from 'node:assert/strict'
import { address, api, finish, looks, test } from './browser.mjs'

const table = (page, within) => page.locator(`section[aria-label="${within}"] tbody tr`)

await test('experiments: the holdout’s line over time', '#/experiments?experiment=holdout', async (page) => {
  await page.getByRole('heading', { name: 'What everything is worth together' }).waitFor()
  await page.locator('section[aria-label="Over time"] canvas').waitFor()
  await looks(page, 'experiments-holdout')
  // The table behind it: the last line is the verdict.
  const { looks: moments } = await api('GET', '/v1/experiments/holdout/course')
  await page.locator('section[aria-label="Over time"] summary').click()
  assert.equal(await table(page, 'Over time').count(), moments.length)
  assert.ok(moments.length > 20)
  const shown = await table(page, 'What it shows').first().innerText()
  const last = (await table(page, 'Over time').last().locator('td').nth(1).innerText()).match(/^([+-]?\d+)/)[1]
  assert.match(shown, new RegExp(`\\${last[0]}?${last.slice(1, 2)}`))
})

await test('experiments: watched, and the best arm given to everybody', '#/experiments?experiment=models', async (page) => {
  const arms = (await api('GET', '/v1/experiments/models')).arms
  await page.getByText(/^Better than lottery: /).waitFor()
  await page.locator('section[aria-label="Over time"] canvas').nth(arms.length - 2).waitFor() // one an arm
  await page.evaluate(() => scrollTo(0, 0))
  await looks(page, 'experiments')
  const course = page.getByRole('region', { name: 'Over time' })
  await course.locator('select').nth(1).selectOption('finish-rate')
  await course.getByRole('img', { name: /by finish-rate over time/ }).first().waitFor()
  await course.locator('select').first().selectOption('ratio')
  await course.getByRole('img', { name: 'Sample ratio test over time' }).waitFor()
  await course.locator('select').first().selectOption('units')
  await course.locator('summary').first().click()
  assert.deepEqual(await course.locator('tbody tr').last().locator('td.num').allInnerTexts(), arms.map((a) => a.units.toLocaleString('en')))
  const best = arms.slice(1).sort((a, b) => b.metrics[0].relative - a.metrics[0].relative)[0].name
  await page.getByRole('combobox', { name: 'Arm' }).selectOption(best)
  await page.getByRole('button', { name: 'Promote' }).click()
  await page.getByRole('button', { name: `Really give ${best} to everybody` }).click()
  await page.getByText('Done: it counts').waitFor()
  const after = (await api('GET', '/v1/experiments')).experiments.find((e) => e.name === 'models')
  assert.deepEqual([after.state, after.promoted], ['promoted', best])
})

await test('funnel: features, and contributions per objective', '#/funnel', async (page) => {
  const user = (await api('GET', '/v1/users?q=sim-u&n=50')).users.sort((a, b) => b.items - a.items)[0].id
  await page.goto(`${address}/#/funnel?user=${user}&surface=ranked`)
  const { explain } = await api('POST', '/v1/surfaces/ranked/explain', { user })
  const [first] = explain.score.candidates
  assert.equal(explain.score.by, 'objectives')
  await page.getByRole('heading', { name: 'Scored' }).waitFor()
  await page.locator('ol li button').filter({ hasText: first.title ?? first.item }).first().click()
  const told = page.getByRole('region', { name: 'What the ranker made of it' })
  for (const o of first.objectives) await told.getByRole('row', { name: `${o.name} ${(100 * o.p).toFixed(2)} %` }).waitFor()
  const rows = told.getByRole('group', { name: `Features of ${first.objectives[0].name}` }).locator('tbody tr')
  const feature = first.objectives[0].features[0]
  assert.ok((await rows.first().innerText()).startsWith(feature.name))
  // They add up: features, all others and the base are the score.
  const adds = await rows.evaluateAll((all) => all.map((r) => Number(r.cells[2].innerText)))
  assert.ok(Math.abs(adds.slice(0, -1).reduce((a, b) => a + b, 0) - adds.at(-1)) < 0.0006 * adds.length, String(adds))
  await looks(page, 'funnel-objectives')
})

await test('lab: offline against online', '#/lab?view=scatter', async (page) => {
  const answer = await api('GET', '/v1/scatter?experiment=models')
  await page.getByLabel('Experiment').selectOption('models')
  await page.getByText(answer.sentence).first().waitFor()
  await page.getByText(/^Rank correlation \(Spearman\) -?\d\.\d\d, 95% -?\d\.\d\d to \d\.\d\d, of \d policies/).waitFor()
  const plot = page.getByRole('img', { name: `${answer.offline} against ${answer.online}` })
  assert.equal(await plot.locator('circle').count(), answer.points.length)
  assert.ok((await plot.locator('.hollow').count()) >= 2, 'random and popularity are points')
  assert.equal(await plot.locator('.bar').count(), answer.points.reduce((n, p) => n + (p.online ? 2 : 1), 0), 'both error bars')
  assert.match(await plot.locator('title').first().textContent(), /offline .* \(.* to .*\), online .* \(.* to .*\)/)
  await looks(page, 'lab-scatter')
  await page.getByText('table', { exact: true }).click()
  assert.equal(await table(page, 'Offline against online').count(), answer.points.length)
  await page.getByLabel('Offline by').selectOption('recall@10')
  await page.getByText(/recall@10 (is|predicts)/).first().waitFor()
})

await finish()
