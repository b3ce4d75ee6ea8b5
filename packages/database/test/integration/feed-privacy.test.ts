import { eventually, everyRow, marksIn } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import { makeChangeTick } from '../../src/index.ts'
import { holdTransaction } from '../fixtures/held-write.ts'
import { aDatabase } from '../fixtures/a-database.ts'
import { anObject, related } from '../fixtures/an-event.ts'
import { rebuilt } from '../fixtures/rebuilt.ts'

const MARK = 'Marked-Person'
const person = {
  status: 'approved',
  'name-first': MARK,
  'reference-id': `${MARK}-reference`,
  tags: [MARK],
  'country-code': MARK,
  checks: [{ name: MARK }],
  fields: { [MARK]: { type: 'string', value: MARK } },
}

t.test('the feed holds no value of a person, on any way by which rows change', async (t) => {
  const { store, opened, sql, url } = await aDatabase(t)
  const listener = new Client({ connectionString: url })
  await listener.connect()
  t.teardown(() => listener.end())
  const heard: string[] = []
  listener.on('notification', ({ channel, payload = '' }) => void heard.push(`${channel} ${payload}`))
  await listener.query('LISTEN persona_changes')
  const ticked = async () => eventually(async () => (await makeChangeTick(opened)) === 'ticked')

  const toInquiry = { relationships: { inquiry: related(['inquiry', 'inq_1']) } }
  const included = [
    anObject('verification/selfie', 'ver_1', { attributes: person, ...toInquiry }),
    anObject('report/watchlist', 'rep_1', { attributes: person, ...toInquiry }),
    anObject('account', 'act_1', { attributes: person }),
  ]
  const event = (id: string, name: string, second: number, more: object = {}) => ({
    id,
    name,
    createdAt: new Date(Date.UTC(2026, 1, 3, 10, 0, second)).toISOString(),
    data: anObject('inquiry', 'inq_1', { attributes: { ...person, ...more } }),
    included,
  })
  await store(event('evt_1', 'inquiry.created', 1))
  await store(event('evt_2', 'inquiry.approved', 2))
  await ticked()
  await sql(`INSERT INTO change_consumers (name, tick) VALUES ('app', 1)`)
  const hand = await holdTransaction(opened)
  await hand.executor.query(`UPDATE inquiries SET reference_id = '${MARK}-by-hand'`, [])
  const pending = await hand.executor.query('SELECT p::text AS text FROM changes_pending p', [])
  await hand.commit()
  await sql('DELETE FROM verifications')
  await rebuilt(url)
  await ticked()
  await store(event('evt_3', 'inquiry.redacted', 3))
  await ticked()
  for (const table of ['changes', 'change_ticks', 'change_consumers', 'removed_objects']) await sql(`ANALYZE ${table}`)

  const lines = (await everyRow(sql)).split('\n')
  const ofFeed = lines.filter((line) =>
    /^(public\.(change|removed_)|statistics: public \| (change|removed_))/.test(line),
  )
  for (const table of ['changes', 'change_ticks', 'change_consumers', 'removed_objects'])
    t.ok(ofFeed.some((line) => line.startsWith(`public.${table}`)), table) // prettier-ignore
  await eventually(() => heard.length === 3)
  t.strictSame(heard, ['persona_changes 1', 'persona_changes 2', 'persona_changes 3'])
  t.equal(pending.length, 1)
  t.strictSame(marksIn([...ofFeed, ...heard, JSON.stringify(pending)].join('\n'), [MARK]), [])
})
