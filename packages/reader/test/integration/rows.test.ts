import { readFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { openDatabase, storeEvents } from '@persona-ingest/database'
import { readEvent, snapshotColumns, type ObjectFamily } from '@persona-ingest/persona'
import { buildLifecycle } from '@persona-ingest/simulator'
import t from 'tap'
import { DecryptionError, openReader } from '../../src/index.ts'
import { columnName, inquiries, resources, verifications } from '../../src/rows/columns.ts'
import { aFeed, next, told } from '../fixtures/a-feed.ts'

const keyOf = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
const key = keyOf('2026-11')
const feed = await aFeed(t)
const database = openDatabase({ url: feed.url, encryptionKeys: [key] })
t.teardown(() => database.close())
const events = ['approved', 'declined', 'approved'].flatMap((scenario, index) =>
  buildLifecycle({ scenario: scenario as 'approved', seed: `rows-${index}`, startAtMs: Date.UTC(2026, 1, 3 + index) }),
)
await storeEvents(
  database,
  events.map(({ document }) =>
    readEvent({ body: Buffer.from(JSON.stringify(document)), environment: 'sandbox', receivedAtMs: Date.now() }),
  ),
)
const ids = [...new Set(events.map(({ inquiryId }) => inquiryId))].toSorted()
const id = String(ids[0])

t.test('an inquiry comes with its verifications, decrypted, and with camelCase members', async (t) => {
  const inquiry = await feed.reader({ keys: [keyOf('2027-01'), key] }).findInquiry(id)
  t.match(inquiry, {
    id,
    environment: 'sandbox',
    version: 1n,
    createdAt: Date,
    eventCreatedAt: Date,
    tags: Array,
    fields: { name_first: { value: String } },
    attributes: Object,
    relationships: Object,
  })
  const stored = await feed.sql('SELECT id FROM verifications WHERE inquiry_id = $1 ORDER BY created_at, id', [id])
  t.ok(stored.length > 0)
  t.strictSame(inquiry?.verifications.map((each) => ({ id: each.id })), stored) // prettier-ignore
  t.match(inquiry?.verifications[0], { inquiryId: id, version: 1n, checks: Array, type: /^verification\// })
  const verificationId = String(stored[0]?.['id'])
  const reader = feed.reader({ keys: [key] })
  t.strictSame(await reader.findVerification(verificationId), inquiry?.verifications[0])
  t.equal(await reader.findInquiry('inq_of-no-one'), null)
  t.equal(await reader.findVerification(id), null)
  const [resource] = (await reader.listResources({ limit: 1 })).rows
  t.match(await reader.findResource(String(resource?.id)), { ...resource, attributes: Object })
})

t.test('without the key a look-up throws, and a list works', async (t) => {
  for (const keys of [[], [keyOf('2027-01')]]) {
    const reader = feed.reader({ keys })
    await t.rejects(reader.findInquiry(id), DecryptionError)
    t.equal((await reader.listInquiries()).rows.length, 3)
  }
})

t.test('pages hold each row once in either order, and filters combine', async (t) => {
  const reader = feed.reader()
  for (const order of ['id', 'newest'] as const) {
    const found: string[] = []
    let after: string | null = null
    do {
      const page = await reader.listInquiries({ order, limit: 2, after })
      found.push(...page.rows.map((row) => row.id))
      after = page.next
    } while (after !== null)
    const [byClock, byId] = ['event_created_at DESC', 'id'].map((key) => `SELECT id FROM inquiries ORDER BY ${key}`)
    const rows = await feed.sql(String(order === 'id' ? byId : byClock))
    t.strictSame(found, rows.map((row) => row['id'])) // prettier-ignore
  }
  const idsOf = async (filter: Parameters<typeof reader.listInquiries>[0]) =>
    (await reader.listInquiries(filter)).rows.map((row) => row.id)
  t.equal((await idsOf({ status: 'approved' })).length, 2)
  t.equal((await idsOf({ status: ['approved', 'declined'], environment: 'sandbox' })).length, 3)
  t.strictSame(await idsOf({ status: 'approved', environment: 'production' }), [])
  const [first] = (await reader.listInquiries({ order: 'id' })).rows
  t.strictSame(await idsOf({ referenceId: String(first?.referenceId), status: String(first?.status) }), [first?.id])
  const linked = await reader.listVerifications({ inquiryId: id, type: 'verification/selfie' })
  t.match(linked.rows, [{ inquiryId: id, type: 'verification/selfie' }])
  const { next: place } = await reader.listInquiries({ limit: 1 })
  for (const filter of [{ limit: 0 }, { limit: 1_001 }, { after: 'nonsense' }, { order: 'id', after: place }] as const)
    await t.rejects(reader.listInquiries(filter), RangeError)
})

t.test('rows have the columns that packages/persona describes', async (t) => {
  for (const [family, { columns, documents }] of Object.entries({
    inquiry: inquiries,
    verification: verifications,
    resource: resources,
  })) {
    const names = new Set(Object.keys({ ...columns, ...documents }).map(columnName))
    for (const { name, kind } of snapshotColumns[family as ObjectFamily]) {
      t.ok(names.has(name), `${family}.${name}`)
      const isDocument = Object.keys(documents).map(columnName).includes(name)
      t.equal(isDocument, kind === 'object' || kind === 'list', `${family}.${name}: ${kind}`)
    }
  }
})

t.test('a role in ingest_feed follows changes, and reads rows only where it was granted them', async (t) => {
  await feed.sql(await readFile(new URL('../../../../deploy/postgres/roles.sql', import.meta.url), 'utf8'))
  await feed.sql(`CREATE ROLE billing LOGIN PASSWORD 'b' IN ROLE ingest_feed`)
  const url = new URL(feed.url)
  Object.assign(url, { username: 'billing', password: 'b' })
  const reader = openReader({ url: url.href })
  t.teardown(() => reader.close())
  const changes = reader.changes({ consumer: 'billing' })
  const waiting = next(changes)
  await feed.announce('inq_role')
  await feed.announce('inq_role')
  t.ok(told(await waiting).length > 0)
  const batch = await next(feed.reader().changes({ consumer: 'other', from: 'start' }))
  await batch.commit()
  await changes.return()
  await t.rejects(reader.findInquiry('inq_role'), { code: '42501' })
  await t.rejects(reader.listInquiries(), { code: '42501' })
  await feed.sql('GRANT SELECT ON public.inquiries, public.verifications, public.resources TO billing')
  t.match(await reader.findInquiry('inq_role'), { id: 'inq_role', version: 2n })
})
