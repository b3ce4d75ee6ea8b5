import t from 'tap'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { partOf } from '../fixtures/part-of.ts'
import { anEvent, anObject, bodyOf, related, type Casing } from '../fixtures/an-event.ts'

/**
 * Other programs rely on these names and types; they may only grow.
 *
 * @see docs/contract.md#4-database-postgresql-schema-public
 */
const columns: Record<string, Record<string, string>> = {
  events: {
    id: 'text', environment: 'text', name: 'text', created_at: 'timestamptz(3)', resource_type: 'text',
    resource_id: 'text', inquiry_id: 'text', payload: 'jsonb', received_at: 'timestamptz(3)',
    processed_at: 'timestamptz(3)', outcome: 'text',
  },
  inquiries: {
    id: 'text', environment: 'text', status: 'text', reference_id: 'text', account_id: 'text', template_id: 'text',
    template_version_id: 'text', tags: 'text[]', created_at: 'timestamptz(3)', updated_at: 'timestamptz(3)',
    started_at: 'timestamptz(3)', completed_at: 'timestamptz(3)', failed_at: 'timestamptz(3)',
    marked_for_review_at: 'timestamptz(3)', decisioned_at: 'timestamptz(3)', expired_at: 'timestamptz(3)',
    redacted_at: 'timestamptz(3)', attributes: 'jsonb', fields: 'jsonb', relationships: 'jsonb', event_id: 'text',
    event_name: 'text', event_created_at: 'timestamptz(3)', event_rank: 'int2',
  },
  verifications: {
    id: 'text', environment: 'text', inquiry_id: 'text', type: 'text', status: 'text', country_code: 'text',
    created_at: 'timestamptz(3)', submitted_at: 'timestamptz(3)', completed_at: 'timestamptz(3)',
    redacted_at: 'timestamptz(3)', checks: 'jsonb', attributes: 'jsonb', relationships: 'jsonb', event_id: 'text',
    event_name: 'text', event_created_at: 'timestamptz(3)', event_rank: 'int2',
  },
  resources: {
    id: 'text', environment: 'text', type: 'text', status: 'text', inquiry_id: 'text', attributes: 'jsonb',
    relationships: 'jsonb', event_id: 'text', event_name: 'text', event_created_at: 'timestamptz(3)',
    event_rank: 'int2',
  },
  dead_letters: {
    id: 'int8', event_id: 'text', environment: 'text', reason: 'text', error: 'text', body: 'bytea',
    received_at: 'timestamptz(3)', failed_at: 'timestamptz(3)', attempts: 'int4', state: 'text',
    resolved_at: 'timestamptz(3)',
  },
  inquiry_timeline: {
    inquiry_id: 'text', event_id: 'text', event_name: 'text', event_created_at: 'timestamptz(3)',
    received_at: 'timestamptz(3)', status: 'text', out_of_order: 'bool',
  },
} // prettier-ignore

const database = await aDatabase(t)
const { sql, row, deliver, empty } = database

t.test('every documented column is there, with its type', async (t) => {
  for (const [table, expected] of Object.entries(columns)) {
    const found = await sql(
      `SELECT column_name AS name, CASE udt_name WHEN '_text' THEN 'text[]'
         WHEN 'timestamptz' THEN format('timestamptz(%s)', datetime_precision) ELSE udt_name END AS type
       FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1`,
      [table],
    )
    t.match(Object.fromEntries(found.map(({ name, type }) => [name, type])), expected, table)
  }
})

t.test('ids compare byte by byte, whatever the locale of the database', async (t) => {
  const found = await sql(
    `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
     WHERE table_schema = 'public' AND table_name <> 'inquiry_timeline' AND collation_name IS DISTINCT FROM 'C'
       AND (column_name = 'id' OR column_name LIKE '%\\_id') AND data_type = 'text'`,
  )
  t.strictSame(found, [{ name: 'inquiries.reference_id' }], 'a reference id is free text, not an id of the provider')
})

const time = (second: number) => new Date(Date.UTC(2026, 1, 3, 10, 0, second))
const iso = (second: number) => time(second).toISOString()

const governmentId = anObject('verification/government-id', 'ver_1', {
  attributes: {
    status: 'passed',
    'country-code': 'JP',
    'created-at': iso(2),
    'created-at-ts': 1770112921,
    'submitted-at': iso(3),
    'completed-at': iso(4),
    'redacted-at': null,
    'entity-confidence-score': 96.1831512451172,
    'photo-urls': [{ page: 'front', 'byte-size': 125652 }],
    checks: [{ name: 'id_expired_detection', status: 'passed', metadata: { 'seen-at': null } }],
  },
  relationships: { inquiry: related(['inquiry', 'inq_1']), 'verification-template': { data: null } },
})
const account = anObject('account', 'act_1', {
  attributes: {
    status: 'active',
    'created-at': iso(1),
    'address-street-1': '1 Nowhere Lane',
    fields: { 'kept-Key': 1 },
  },
})
const document = anEvent({
  id: 'evt_1',
  name: 'inquiry.approved',
  createdAt: '2026-02-03T19:00:09.1239+09:00',
  data: anObject('inquiry', 'inq_1', {
    attributes: {
      status: 'approved',
      'reference-id': 'tenant-7::user-42',
      tags: ['CAMPAIGN', 'second'],
      'created-at': iso(1),
      'updated-at': iso(2),
      'started-at': iso(3),
      'completed-at': iso(4),
      'failed-at': iso(5),
      'marked-for-review-at': iso(6),
      'decisioned-at': iso(7),
      'expired-at': iso(8),
      'redacted-at': null,
      'expires-at': null,
      'name-first': 'Zoë',
      'address-street-1': '2 Nowhere Lane',
      behaviors: { 'completion-time': 40.1724639031, 'hesitation-percentage': null },
      fields: { 'contactWays-2': { type: 'string', 'some-value': 'x' }, name_first: { type: 'string', value: 'Zoë' } },
    },
    relationships: {
      account: related(['account', 'act_1']),
      template: related(['template', 'tmpl_old']),
      'inquiry-template': related(['inquiry-template', 'itmpl_1']),
      'inquiry-template-version': related(['inquiry-template-version', 'itmplv_1']),
      reviewer: { data: null },
      verifications: { data: [{ type: 'verification/government-id', id: 'ver_1' }] },
      transaction: {},
    },
  }),
  included: [governmentId, account],
})

const clock = { event_id: 'evt_1', event_name: 'inquiry.approved', event_created_at: new Date('2026-02-03T10:00:09.123Z'), event_rank: 6 } // prettier-ignore
const inquiry = {
  id: 'inq_1',
  environment: 'production',
  status: 'approved',
  reference_id: 'tenant-7::user-42',
  account_id: 'act_1',
  template_id: 'itmpl_1',
  template_version_id: 'itmplv_1',
  tags: ['CAMPAIGN', 'second'],
  created_at: time(1),
  updated_at: time(2),
  started_at: time(3),
  completed_at: time(4),
  failed_at: time(5),
  marked_for_review_at: time(6),
  decisioned_at: time(7),
  expired_at: time(8),
  redacted_at: null,
  attributes: {
    expires_at: null,
    name_first: 'Zoë',
    address_street_1: '2 Nowhere Lane',
    behaviors: { completion_time: 40.1724639031, hesitation_percentage: null },
  },
  fields: { 'contactWays-2': { type: 'string', 'some-value': 'x' }, name_first: { type: 'string', value: 'Zoë' } },
  relationships: {
    account: { type: 'account', id: 'act_1' },
    template: { type: 'template', id: 'tmpl_old' },
    inquiry_template: { type: 'inquiry-template', id: 'itmpl_1' },
    inquiry_template_version: { type: 'inquiry-template-version', id: 'itmplv_1' },
    reviewer: null,
    verifications: [{ type: 'verification/government-id', id: 'ver_1' }],
    transaction: null,
  },
  ...clock,
}
const verification = {
  id: 'ver_1',
  environment: 'production',
  inquiry_id: 'inq_1',
  type: 'verification/government-id',
  status: 'passed',
  country_code: 'JP',
  created_at: time(2),
  submitted_at: time(3),
  completed_at: time(4),
  redacted_at: null,
  checks: [{ name: 'id_expired_detection', status: 'passed', metadata: { seen_at: null } }],
  attributes: {
    created_at_ts: 1770112921,
    entity_confidence_score: 96.1831512451172,
    photo_urls: [{ page: 'front', byte_size: 125652 }],
  },
  relationships: { inquiry: { type: 'inquiry', id: 'inq_1' }, verification_template: null },
  ...clock,
}
const accountRow = {
  id: 'act_1',
  environment: 'production',
  type: 'account',
  status: 'active',
  inquiry_id: null,
  attributes: { created_at: iso(1), address_street_1: '1 Nowhere Lane', fields: { 'kept-Key': 1 } },
  relationships: {},
  ...clock,
}

for (const casing of ['kebab', 'camel', 'snake'] as const satisfies readonly Casing[]) {
  t.test(`a ${casing} body gives every column of every table`, async (t) => {
    await empty()
    const body = bodyOf(document, casing)
    const outcomes = await deliver({ body })
    t.strictSame([...outcomes], [['evt_1', 'applied']])
    t.strictSame(partOf(await row('SELECT * FROM inquiries'), inquiry), inquiry)
    t.strictSame(partOf(await row('SELECT * FROM verifications'), verification), verification)
    t.strictSame(partOf(await row(`SELECT * FROM resources WHERE id = 'act_1'`), accountRow), accountRow)
    const event = await row('SELECT * FROM events')
    const expected = {
      id: 'evt_1',
      environment: 'production',
      name: 'inquiry.approved',
      created_at: new Date('2026-02-03T10:00:09.123Z'),
      resource_type: 'inquiry',
      resource_id: 'inq_1',
      inquiry_id: 'inq_1',
      received_at: new Date(RECEIVED_AT_MS),
      outcome: 'applied',
      payload: JSON.parse(body.toString()) as unknown,
    }
    t.strictSame(partOf(event, expected), expected, 'the payload stays in its own casing')
    t.ok(Math.abs((event['processed_at'] as Date).getTime() - Date.now()) < 60_000)
    const stubs = await sql(`SELECT id, type, status, event_id FROM resources WHERE id <> 'act_1' ORDER BY id`)
    t.strictSame(stubs, [
      { id: 'itmpl_1', type: 'inquiry-template', status: null, event_id: null },
      { id: 'itmplv_1', type: 'inquiry-template-version', status: null, event_id: null },
      { id: 'tmpl_old', type: 'template', status: null, event_id: null },
    ])
  })
}

t.test("the environment is the delivery's, in every table", async (t) => {
  await empty()
  await deliver({ body: bodyOf(document), environment: 'sandbox' })
  for (const table of ['events', 'inquiries', 'verifications', 'resources'])
    t.strictSame(await sql(`SELECT DISTINCT environment FROM ${table}`), [{ environment: 'sandbox' }], table)
})

t.test('the template falls back to the legacy relationship', async (t) => {
  await empty()
  const relationships = { template: related(['template', 'tmpl_1']), 'inquiry-template': { data: {} } }
  await database.store({ data: anObject('inquiry', 'inq_1', { relationships }) })
  const found = await row('SELECT template_id, template_version_id FROM inquiries')
  t.strictSame(found, { template_id: 'tmpl_1', template_version_id: null })
})

t.test("a strict blocklist leaves ids, the name's status and empty values", async (t) => {
  await empty()
  const minimal = { data: { id: 'evt_1', type: 'event', attributes: {
    'created-at': iso(9), name: 'inquiry.marked-for-review', payload: { data: { id: 'inq_1', type: 'inquiry' } } } } } // prettier-ignore
  await deliver({ body: bodyOf(minimal) })
  const expected = {
    status: 'needs_review', reference_id: null, tags: [], fields: {}, attributes: {}, relationships: {},
    event_name: 'inquiry.marked-for-review', event_rank: 5,
  } // prettier-ignore
  t.strictSame(partOf(await row('SELECT * FROM inquiries'), expected), expected)
})

t.test('a status that only an older event told stays', async (t) => {
  await empty()
  const withStatus = anObject('inquiry', 'inq_1', { attributes: { status: 'declined', 'name-first': 'Old' } })
  const without = anObject('inquiry', 'inq_1', { attributes: { 'name-first': 'New' } })
  await database.store({ id: 'evt_old', data: withStatus, createdAt: iso(1) })
  await database.store({ id: 'evt_new', data: without, createdAt: iso(2), name: 'inquiry.updated-tags' })
  const expected = { status: 'declined', attributes: { name_first: 'New' }, event_id: 'evt_new' }
  t.strictSame(partOf(await row('SELECT * FROM inquiries'), expected), expected)
})
