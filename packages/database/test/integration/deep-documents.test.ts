import { readEvent, UnusableEventError } from '@persona-ingest/persona'
import { everyRow, marksIn } from '@persona-ingest/testkit'
import t from 'tap'
import {
  eraseTargets,
  findErasureTargets,
  findEvent,
  findInquiry,
  prune,
  replayEvent,
  encryptStored,
  storeEvents,
} from '../../src/index.ts'
import { aDatabase, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, related } from '../fixtures/an-event.ts'
import { linesOf, rebuilt, verified } from '../fixtures/rebuilt.ts'
import { aKey } from '../fixtures/some-keys.ts'

const database = await aDatabase(t)
const { deliver, sql, opened, url } = database
t.beforeEach(() => database.empty())

const MARK = 'Marked-Person'
const at = (second: number) => `2026-02-03T10:00:0${second}.000Z`
const isKept = async () => marksIn(await everyRow(sql), [MARK]).length > 0

/** An event of an inquiry, some places in it nested by so many levels more. */
function deepBody(depth: number, id = 'evt_deep'): Buffer {
  const deep = { 'deep-list': '<LIST>', 'deep-object': '<OBJECT>' }
  const data = anObject('inquiry', 'inq_1', {
    attributes: { status: 'approved', 'reference-id': MARK, fields: { a: '<OBJECT>' }, ...deep },
    relationships: { account: related(['account', 'act_1']), odd: { data: '<LIST>' } },
  })
  const selfie = anObject('verification/selfie', 'ver_1', { attributes: { checks: ['<OBJECT>'], ...deep } })
  const account = anObject('account', 'act_1', { attributes: { 'reference-id': MARK, ...deep } })
  return Buffer.from(
    bodyOf(anEvent({ id, createdAt: at(1), data, included: [selfie, account] }))
      .toString()
      .replaceAll('"<LIST>"', `${'['.repeat(depth)}{"id":"x_1","type":"x","a":"${MARK}"}${']'.repeat(depth)}`)
      .replaceAll('"<OBJECT>"', `${'{"a-b":'.repeat(depth)}["${MARK}",1.50]${'}'.repeat(depth)}`),
  )
}

/** Stores an event as a version without a limit did, for which the stack was the limit. */
async function storeUnlimited(depth: number, client = opened): Promise<void> {
  const event = { body: deepBody(depth), environment: 'production', receivedAtMs: RECEIVED_AT_MS } as const
  await storeEvents(client, [readEvent({ ...event, isStored: true })])
}

const redaction = () =>
  bodyOf(
    anEvent({ id: 'evt_redacted', name: 'inquiry.redacted', createdAt: at(3), data: anObject('inquiry', 'inq_1') }),
  )
const plusLevels = 1_000 - 10

for (const depth of [plusLevels, 2_600, 4_000]) {
  t.test(`${depth} levels: the log says what the rows say, and a rebuild gives them back`, async (t) => {
    await storeUnlimited(depth)
    t.strictSame(linesOf(await verified(url)), [])
    await sql(`UPDATE inquiries SET attributes = '{}'`)
    await sql(`DELETE FROM verifications`)
    t.strictSame(linesOf(await rebuilt(url)), ['inquiries inq_1 different attributes', 'verifications ver_1 missing'])
    t.strictSame(linesOf(await verified(url)), [])
  })

  t.test(`${depth} levels: a redaction reduces all of it`, async (t) => {
    await storeUnlimited(depth)
    await deliver({ body: redaction() })
    t.notOk(await isKept())
    t.strictSame(linesOf(await verified(url)), [])
    t.match(await findEvent(database.opened, 'evt_deep'), { id: 'evt_deep' })
  })

  t.test(`${depth} levels: a redaction that came before reduces it as it arrives`, async (t) => {
    await deliver({ body: redaction() })
    await storeUnlimited(depth)
    t.notOk(await isKept())
    t.strictSame(linesOf(await verified(url)), [])
  })

  t.test(`${depth} levels: it is erased by its reference id`, async (t) => {
    await storeUnlimited(depth)
    const targets = await findErasureTargets(database.opened, MARK)
    t.match(targets, { inquiryIds: ['inq_1'], accountIds: ['act_1'] })
    if (targets !== null) await eraseTargets(database.opened, targets, { isDryRun: false, nowMs: Date.parse(at(9)) })
    t.notOk(await isKept())
    t.strictSame(linesOf(await verified(url)), [])
  })

  t.test(`${depth} levels: it is read, replayed and pruned`, async (t) => {
    await storeUnlimited(depth)
    await sql('DELETE FROM inquiries')
    t.equal(await replayEvent(database.opened, 'evt_deep'), 'applied')
    t.strictSame(linesOf(await verified(url)), [])
    t.match(await findInquiry(database.opened, 'inq_1'), { inquiry: { id: 'inq_1' } })
    const later = new Date(RECEIVED_AT_MS + 1)
    t.match(await prune({ databaseUrl: url, encryptionKeys: [], eventsBefore: later, deadLettersBefore: null }), {
      events: 1,
      unreadableIds: [],
    })
    t.match(await database.row('SELECT length(payload::text) < 20000 AS short FROM events'), { short: true })
    t.strictSame(linesOf(await verified(url)), [])
  })

  t.test(`${depth} levels: it is encrypted, and compared under the key`, async (t) => {
    await storeUnlimited(depth)
    const encryptionKeys = [aKey('a')]
    await encryptStored({ databaseUrl: url, encryptionKeys })
    t.strictSame(await sql(`SELECT 1 FROM events WHERE jsonb_typeof(payload) <> 'string'`), [])
    t.strictSame(linesOf(await verified(url, { encryptionKeys })), [])
  })
}

t.test('a delivery beyond the limit is no event; a dead letter of it goes with what it names', async (t) => {
  await t.rejects(deliver({ body: deepBody(1_000) }), new UnusableEventError('NESTING_TOO_DEEP'))
  await database.keepDeadLetter({ eventId: 'evt_deep', reason: 'NESTING_TOO_DEEP', body: deepBody(5_000) })
  t.ok(await isKept())
  await deliver({ body: redaction() })
  t.notOk(await isKept())
  t.strictSame(linesOf(await verified(url)), [])
})
