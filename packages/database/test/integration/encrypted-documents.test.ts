import { eventually, everyRow, marksIn } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import {
  eraseTargets,
  failureOf,
  findDeadLetter,
  findErasureTargets,
  findEvent,
  findEventBody,
  findInquiry,
  openDatabase,
  prune,
  readReplayableDeadLetters,
  replayEvent,
  DecryptionError,
  encryptStored,
  storeDeadLetter,
  storeEvents,
} from '../../src/index.ts'
import { aDatabase, read, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, rawBody, related } from '../fixtures/an-event.ts'
import { documentsOf } from '../fixtures/opened-rows.ts'
import { linesOf, rebuilt, verified } from '../fixtures/rebuilt.ts'
import { aKey } from '../fixtures/some-keys.ts'

const database = await aDatabase(t)
const { url, sql, row } = database
const [a, b] = [aKey('a'), aKey('b')]
t.beforeEach(() => database.empty())

const MARK = 'MARK-Zoe'
const at = (second: number) => `2026-02-03T10:00:0${second}.000Z`

function opened(...encryptionKeys: readonly string[]) {
  const client = openDatabase({ url, encryptionKeys, connections: 2 })
  t.teardown(() => client.close())
  return client
}
const [withA, withBoth, withB, withNone] = [opened(a), opened(b, a), opened(b), opened()]

const inquiry = anObject('inquiry', 'inq_1', {
  attributes: {
    'name-first': MARK,
    zeta: 1,
    'a-much-longer-name': 2.5,
    fields: { 'name-last': { type: 'string', value: MARK } },
    status: 'approved',
  },
  relationships: { account: related(['account', 'act_1']) },
})
const included = [
  anObject('account', 'act_1', { attributes: { 'reference-id': 'ref-7', 'name-first': MARK } }),
  anObject('verification/selfie', 'ver_1', {
    attributes: { 'name-first': MARK },
    relationships: { inquiry: related(['inquiry', 'inq_1']) },
  }),
]
const approved = { body: bodyOf(anEvent({ id: 'evt_1', createdAt: at(1), data: inquiry, included })) }
/** Its bytes say more than jsonb can hold. */
const odd = {
  body: Buffer.from(
    rawBody(anEvent({ id: 'evt_odd', createdAt: at(2), data: anObject('inquiry', 'inq_2', { attributes: { 'name-first': MARK } }) })) // prettier-ignore
      .toString()
      .replace(/\}$/, `,"twice":"${MARK}","twice":1}`),
  ),
}
const deadLetter = {
  eventId: null,
  environment: 'production',
  reason: 'INVALID_JSON',
  error: 'the body is no usable event',
  body: Buffer.from(`{"id": "inq_1", "name": "${MARK}"`),
  receivedAtMs: RECEIVED_AT_MS,
  attempts: 0,
} as const

async function storeAll(client = withA): Promise<void> {
  await storeEvents(client, [read(approved), read(odd)])
  await storeDeadLetter(client, deadLetter)
}
const marked = async () => marksIn(await everyRow(sql), [MARK])
const sealing = (...encryptionKeys: readonly string[]) => encryptStored({ databaseUrl: url, encryptionKeys })

t.test('nothing of a person can be read without the key, everything with it', async (t) => {
  await storeAll(withNone)
  t.strictSame(await marked(), [MARK], 'the mark is found where nothing is sealed')
  await database.empty()
  await storeAll()
  t.strictSame(await marked(), [])
  t.match(await findEvent(withA, 'evt_1'), {
    payload: { data: { attributes: { payload: { data: { attributes: { 'name-first': MARK } } } } } },
  })
  t.match(await findEventBody(withA, 'evt_1'), { isAsDelivered: false })
  const body = await findEventBody(withA, 'evt_odd')
  t.ok(body?.isAsDelivered && Buffer.from(body.bytes).equals(odd.body))
  t.match(await findInquiry(withA, 'inq_1'), {
    inquiry: { attributes: { name_first: MARK }, fields: { 'name-last': { value: MARK } }, status: 'approved' },
    verifications: [{ id: 'ver_1', attributes: { name_first: MARK } }],
  })
  const { id } = await row('SELECT id::text AS id FROM dead_letters')
  t.match(await findDeadLetter(withA, String(id)), { body_bytes: deadLetter.body.byteLength })
  t.ok(Buffer.from((await findDeadLetter(withA, String(id)))?.body ?? []).equals(deadLetter.body))
  const page = await readReplayableDeadLetters(withA, { state: 'open' } as never, { after: '0', nowMs: RECEIVED_AT_MS })
  t.match(page, [{ verdict: 'unusable', reason: 'INVALID_JSON' }])
})

t.test('a redaction reaches what is sealed', async (t) => {
  await storeAll()
  await storeEvents(withA, [read({ body: bodyOf(anEvent({ id: 'evt_9', name: 'inquiry.redacted', createdAt: at(9), data: anObject('inquiry', 'inq_1') })) })]) // prettier-ignore
  const left = (await documentsOf(sql, [a])).filter(({ opened: text }) => text.includes(MARK)).map(({ place }) => place)
  t.strictSame(left, ['events evt_odd payload', 'inquiries inq_2 attributes'])
  t.match(await row('SELECT octet_length(original_body) > 0 AS kept FROM events WHERE id = $1', ['evt_odd']), { kept: true }) // prettier-ignore
  const { id } = await row('SELECT id::text AS id FROM dead_letters')
  t.notMatch(Buffer.from((await findDeadLetter(withA, String(id)))?.body ?? []).toString(), MARK)
})

t.test('an erasure finds a person by what is sealed', async (t) => {
  await storeAll()
  const targets = await findErasureTargets(withA, 'ref-7')
  t.match(targets, { inquiryIds: ['inq_1'], accountIds: ['act_1'] })
  if (targets === null) return
  const report = await eraseTargets(withA, targets, { isDryRun: false, nowMs: Date.parse(at(9)) })
  t.match(report, { eventIds: ['evt_1'], inquiryIds: ['inq_1'], verificationIds: ['ver_1'], resourceIds: ['act_1'] })
  const left = (await documentsOf(sql, [a])).filter(({ opened: text }) => text.includes(MARK)).map(({ place }) => place)
  t.strictSame(left, ['events evt_odd payload', 'inquiries inq_2 attributes'])
})

t.test('rotation: both keys open, one call brings all under the new one, then the old one can go', async (t) => {
  await storeAll(withNone)
  const before = await documentsOf(sql)
  const all = { 'events.payload': 2, 'inquiries.attributes': 2, 'inquiries.fields': 1, 'dead_letters.body': 1, 'events.original_body': 1 } // prettier-ignore
  t.match(await sealing(a), all, 'turned on for what was there')
  t.strictSame(await marked(), [])
  t.strictSame(
    linesOf(await verified(url, { encryptionKeys: [a] })),
    [],
    'the log says the rows, in whatever order jsonb had them',
  )
  const newer = anObject('inquiry', 'inq_3', { attributes: { 'name-first': MARK } })
  await storeEvents(withBoth, [read({ body: bodyOf(anEvent({ id: 'evt_3', data: newer })) })])
  t.match(await findEvent(withBoth, 'evt_1'), { id: 'evt_1' }, 'the old one opens still')
  t.match(await sealing(b, a), all)
  t.match(Object.values(await sealing(b, a)), [0, 0, 0, 0, 0, 0, 0], 'and again: nothing to do')
  t.match(await findInquiry(withB, 'inq_1'), { inquiry: { attributes: { name_first: MARK } } })
  const after = (await documentsOf(sql, [b])).filter(({ place }) => !/evt_3|inq_3/.test(place))
  t.strictSame(after.map(({ opened: text }) => text), before.map(({ opened: text }) => text)) // prettier-ignore
  t.notOk((await documentsOf(sql, [b])).some(({ stored }) => stored.startsWith('"a:')))
  const { id } = await row('SELECT id::text AS id FROM dead_letters')
  t.ok(Buffer.from((await findDeadLetter(withB, String(id)))?.body ?? []).equals(deadLetter.body))
  await t.rejects(sealing(), { message: 'Expected keys to seal with, got none' })
})

t.test('without the key it is told by place and key: nothing is given up', async (t) => {
  await storeAll()
  const redaction = read({ body: bodyOf(anEvent({ id: 'evt_9', name: 'inquiry.redacted', createdAt: at(9), data: anObject('inquiry', 'inq_1') })) }) // prettier-ignore
  for (const [client, work] of [
    [withB, async () => storeEvents(withB, [redaction])],
    [withNone, async () => storeEvents(withNone, [redaction])],
    [withB, async () => replayEvent(withB, 'evt_1')],
    [withB, async () => findEvent(withB, 'evt_1')],
    [withB, async () => sealing(b)],
    [
      withB,
      async () => prune({ encryptionKeys: [], databaseUrl: url, eventsBefore: new Date(), deadLettersBefore: null }),
    ],
  ] as const) {
    const error: unknown = await work().then(
      () => null,
      (reason: unknown) => reason,
    )
    t.type(error, DecryptionError)
    t.match(failureOf(error), { kind: 'key', description: /payload of evt_1 in events is sealed with the key "a"/ })
    t.match(await findInquiry(withA, 'inq_1'), { inquiry: { attributes: { name_first: MARK } } }, 'all is there still')
    // What reads nothing old goes on.
    t.equal((await storeEvents(client, [read({ body: bodyOf(anEvent({ id: 'evt_other', createdAt: at(0), data: anObject('inquiry', 'inq_7') })) })])).size, 1) // prettier-ignore
  }
})

t.test('another key under the id of the one that sealed is told likewise: it empties nothing', async (t) => {
  await storeAll()
  const before = await documentsOf(sql, [a])
  const wrong = aKey('a')
  const withWrong = opened(wrong)
  const redaction = read({ body: bodyOf(anEvent({ id: 'evt_9', name: 'inquiry.redacted', createdAt: at(9), data: anObject('inquiry', 'inq_1') })) }) // prettier-ignore
  for (const work of [
    async () => storeEvents(withWrong, [redaction]),
    async () => findErasureTargets(withWrong, 'ref-7'),
    async () => replayEvent(withWrong, 'evt_1'),
    async () => sealing(b, wrong),
  ]) {
    const error: unknown = await work().then(
      () => null,
      (reason: unknown) => reason,
    )
    t.match(failureOf(error), { kind: 'key', description: /is not what that key has sealed there/ })
  }
  const limits = { eventsBefore: new Date(), deadLettersBefore: null }
  t.match(await prune({ databaseUrl: url, encryptionKeys: [wrong], ...limits }), {
    events: 0,
    unreadableIds: { length: 2 },
  })
  t.strictSame(await documentsOf(sql, [a]), before)
})

t.test(
  'what is sealed opens in its own place only; an event that does not is named by rebuild, the others go on',
  async (t) => {
    await storeAll()
    await sql(
      `UPDATE inquiries SET attributes = (SELECT attributes FROM inquiries WHERE id = 'inq_2') WHERE id = 'inq_1'`,
    )
    await t.rejects(findInquiry(withA, 'inq_1'), { name: 'DecryptionError', isChanged: true })
    await sql(`UPDATE events SET payload = (SELECT payload FROM events WHERE id = 'evt_odd') WHERE id = 'evt_1'`)
    t.strictSame(linesOf(await verified(url, { encryptionKeys: [a] })), ['events evt_1 different payload'])
  },
)

t.test('rebuild compares what is sealed, finds what was changed, and goes on with one key only', async (t) => {
  await storeAll()
  t.strictSame(linesOf(await verified(url, { encryptionKeys: [a] })), [])
  await sql(`UPDATE inquiries SET attributes = '{}' WHERE id = 'inq_1'`)
  t.strictSame(linesOf(await verified(url, { encryptionKeys: [a] })), ['inquiries inq_1 different attributes'])
  await rebuilt(url, { encryptionKeys: [a] })
  t.match(await findInquiry(withA, 'inq_1'), { inquiry: { attributes: { name_first: MARK } } })
  t.strictSame(await marked(), [])
  await t.rejects(verified(url), { name: 'OtherKeyError', message: /give STORAGE_ENCRYPTION_KEYS/ })
  await t.rejects(verified(url, { encryptionKeys: [b, a] }), { name: 'OtherKeyError', message: /`ops encrypt`/ })
  await sealing(b, a)
  t.strictSame(linesOf(await verified(url, { encryptionKeys: [b] })), [])
})

t.test('prune leaves a skeleton that is sealed too', async (t) => {
  await storeAll()
  t.match(await prune({ databaseUrl: url, encryptionKeys: [a], eventsBefore: new Date(), deadLettersBefore: null }), { events: 2 }) // prettier-ignore
  t.notOk((await documentsOf(sql, [a])).some(({ place, opened: text }) => place.startsWith('events') && text.includes(MARK))) // prettier-ignore
  t.strictSame(linesOf(await verified(url, { encryptionKeys: [a] })), [])
})

t.test('`seal` and an erasure that is under way do not wait for each other', async (t) => {
  await storeAll(withNone)
  const erasing = new Client({ connectionString: url })
  await erasing.connect()
  t.teardown(() => erasing.end())
  await erasing.query('BEGIN')
  await erasing.query('SELECT begin_exclusive_write()')
  await erasing.query(`UPDATE events SET payload = '{"reduced": true}' WHERE id = 'evt_odd'`)
  const sealed = sealing(a)
  await eventually(async () => (await sql(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'persona-ingest-maintenance'`)).length === 1) // prettier-ignore
  await erasing.query(`UPDATE events SET payload = '{"reduced": true}' WHERE id = 'evt_1'`)
  await erasing.query('COMMIT')
  t.match(await sealed, { 'events.payload': 0 }, 'what the erasure wrote stays')
  t.strictSame(await sql('SELECT DISTINCT payload FROM events'), [{ payload: { reduced: true } }])
})

t.test('what an erasure writes while `seal` is on its way stays written', async (t) => {
  await storeAll(withNone)
  const erasing = new Client({ connectionString: url })
  await erasing.connect()
  t.teardown(() => erasing.end())
  await erasing.query('BEGIN')
  await erasing.query(`UPDATE events SET payload = '{"reduced": true}' WHERE id = 'evt_1'`)
  const sealed = sealing(a)
  await eventually(async () => (await sql(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%UPDATE events%'`)).length === 1) // prettier-ignore
  await erasing.query('COMMIT')
  t.match(await sealed, { 'events.payload': 1 })
  t.strictSame(await row(`SELECT payload FROM events WHERE id = 'evt_1'`), { payload: { reduced: true } })
})
