import t from 'tap'
import { valuesOf } from '@persona-ingest/testkit'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anObject, related, type EventParts } from '../fixtures/an-event.ts'
import { linesOf, rebuilt, verified } from '../fixtures/rebuilt.ts'

const database = await aDatabase(t)
const { sql, store, url } = database
t.beforeEach(async () => {
  await database.empty()
  await sql('DROP SCHEMA IF EXISTS persona_rebuild CASCADE')
})

function event(key: string): EventParts {
  const data = anObject('inquiry', `inq_${key}`, {
    attributes: { status: 'approved', note: key },
    relationships: { template: related(['inquiry-template', `itmpl_${key}`]) },
  })
  const selfie = anObject('verification/selfie', `ver_${key}`, { attributes: { status: 'passed' } })
  return { id: `evt_${key}`, createdAt: new Date(RECEIVED_AT_MS).toISOString(), data, included: [selfie] }
}
const rows = async () => JSON.stringify(await Promise.all(['inquiries', 'verifications', 'resources', 'objects'].map(async (name) => valuesOf(await sql(`SELECT * FROM ${name} ORDER BY id`))))) // prettier-ignore

for (const [change, columns] of [
  [`payload = '{}'`, 'payload'],
  [`payload = 'null'`, 'payload'],
  [`payload = (SELECT payload FROM events WHERE id = 'evt_b')`, 'payload'],
  [`payload = jsonb_set(payload, '{data,attributes,created-at}', '"yesterday"')`, 'payload'],
  [`name = 'inquiry.declined'`, 'name'],
  [`created_at = created_at + interval '1 ms', resource_id = 'inq_x'`, 'created_at resource_id'],
  [`resource_type = 'case'`, 'resource_type'],
] as const) {
  t.test(`an event changed by hand is named, and its rows are left alone: ${change}`, async (t) => {
    await store(event('a'), event('b'))
    await sql(`UPDATE events SET ${change} WHERE id = 'evt_a'`)
    const before = await rows()
    const named = [`events evt_a different ${columns}`]
    t.strictSame(linesOf(await verified(url)), named)
    await sql(`UPDATE inquiries SET status = 'tampered' WHERE id = 'inq_b'`)
    const report = await rebuilt(url)
    t.strictSame(linesOf(report), [...named, 'inquiries inq_b different status'])
    t.equal(report.faultyEvents, 1)
    t.equal(report.events, 2)
    t.equal(await rows(), before, 'the others are mended')
  })
}

t.test('one that is changed while the rows are compared is named all the same', async (t) => {
  await store(event('a'))
  const beforeEnd = async () => {
    await store(event('c'))
    await sql(`UPDATE events SET payload = '{}' WHERE id = 'evt_c'`)
  }
  t.strictSame(linesOf(await rebuilt(url, { beforeEnd })), ['events evt_c different payload'])
  t.strictSame(await sql(`SELECT id FROM inquiries ORDER BY 1`), [{ id: 'inq_a' }, { id: 'inq_c' }])
})

t.test('a resumed rebuild tells the log as it is now: mended, changed and removed events', async (t) => {
  await store(event('a'), event('b'), event('c'))
  const interrupted = async () => {
    const controller = new AbortController()
    await t.rejects(verified(url, { signal: controller.signal, onProgress: ({ phase }) => phase === 'rows' && controller.abort(new Error('stop')) }), /stop/) // prettier-ignore
  }
  const [{ payload }] = (await sql(`SELECT payload::text AS payload FROM events WHERE id = 'evt_a'`)) as [
    { payload: string },
  ]
  await sql(`UPDATE events SET payload = '{}' WHERE id = 'evt_a'`)
  await interrupted()
  await sql('UPDATE events SET payload = $1::text::jsonb WHERE id = $2', [payload, 'evt_a'])
  t.match(await verified(url), { isResumed: true, differences: [], faultyEvents: 0 }, 'mended')
  await interrupted()
  await sql(`UPDATE events SET payload = '{}' WHERE id = 'evt_b'`)
  t.strictSame(linesOf(await verified(url)), ['events evt_b different payload'], 'changed')
  await sql(`UPDATE events SET payload = $1::text::jsonb WHERE id = 'evt_b'`, [payload.replaceAll('_a', '_b')])
  await interrupted()
  await store({ ...event('c'), id: 'evt_r', name: 'inquiry.redacted' })
  t.match(await verified(url), { isResumed: true, differences: [] }, 'a redaction is no reason to begin anew')
  await interrupted()
  await sql(`DELETE FROM events WHERE id = 'evt_b'`)
  t.match(await verified(url), { isResumed: false }, 'removed')
})
