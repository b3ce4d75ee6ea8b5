import { readFileSync } from 'node:fs'
import t from 'tap'
import { aDatabase } from '../fixtures/a-database.ts'

const SAMPLE = '../fixtures/readme-sample.ts'

t.test('the README shows the sample that the type check reads', async (t) => {
  const readme = readFileSync(new URL('../../../../README.md', import.meta.url), 'utf8')
  const [, shown] = /^```ts\n([^]*?)^```$/m.exec(readme) ?? []
  t.equal(shown, readFileSync(new URL(SAMPLE, import.meta.url), 'utf8'))
})

t.test('the sample of the README reads what is stored', async (t) => {
  const { url, store } = await aDatabase(t)
  const resource = { type: 'inquiry', id: 'inq_1', attributes: { status: 'approved' } }
  await store({ data: resource })
  const said = t.capture(console, 'log')
  process.env['DATABASE_URL'] = url
  await import(SAMPLE)
  t.same(said.args(), [['inq_1', 0]])
})
