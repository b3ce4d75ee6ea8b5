import t from 'tap'
import {
  eraseTargets,
  findErasureTargets,
  openDatabase,
  storeDeadLetter,
  storeEvents,
  type UndecryptableRow,
} from '../../src/index.ts'
import { aDatabase, read, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, type EventParts } from '../fixtures/an-event.ts'
import { documentsOf } from '../fixtures/opened-rows.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'
import { aKey } from '../fixtures/some-keys.ts'

const { url, sql, empty } = await aDatabase(t)
const key = aKey('a')
const client = openDatabase({ url, encryptionKeys: [key], connections: 2 })
t.teardown(() => client.close())
t.beforeEach(() => empty())

const MARK = 'MARK-Zoe'
const at = (second: number) => `2026-02-03T10:00:0${second}.000Z`
const store = async (parts: EventParts) => storeEvents(client, [read({ body: bodyOf(anEvent(parts)) })])
const anInquiry = (id: string, reference: string) =>
  anObject('inquiry', id, { attributes: { 'name-first': `${MARK}-${id}`, 'reference-id': reference } })
const deadLetter = {
  eventId: null,
  environment: 'production',
  reason: 'INVALID_JSON',
  error: 'the body is no usable event',
  receivedAtMs: RECEIVED_AT_MS,
  attempts: 0,
} as const

/** As a bad disk or a hand would: one byte of what is encrypted is another. */
const damage = async (table: string, column: string, id: string) => {
  const damagedSql =
    column === 'body'
      ? 'set_byte(body, octet_length(body) - 1, get_byte(body, octet_length(body) - 1) # 1)'
      : `to_jsonb(regexp_replace(${column} #>> '{}', '^(a:.{8}).', '\\1' || CASE WHEN substr(${column} #>> '{}', 11, 1) = 'A' THEN 'B' ELSE 'A' END))`
  await sql(`UPDATE ${table} SET ${column} = ${damagedSql} WHERE id::text = $1`, [id])
}

async function erase(asked: string, isDryRun = false) {
  const undecryptable = new Map<string, UndecryptableRow>()
  const onUndecryptable = (row: UndecryptableRow) => void undecryptable.set(`${row.table} ${row.id}`, row)
  const targets = await findErasureTargets(client, asked, { onUndecryptable })
  const report =
    targets === null ? null : await eraseTargets(client, targets, { isDryRun, nowMs: 'database', onUndecryptable })
  return { report, undecryptable: [...undecryptable.keys()].toSorted() }
}
/** The places that hold something of a person still. */
const kept = async (...without: readonly string[]) =>
  (await documentsOf(sql, [key]).catch(() => [])).filter(({ opened }) => opened.includes(MARK)).map(({ place }) => place).filter((place) => !without.includes(place)) // prettier-ignore

t.test('one damaged payload keeps the data of no other person from being erased', async (t) => {
  await store({ id: 'evt_1', createdAt: at(1), data: anInquiry('inq_1', 'ref-1') })
  await store({ id: 'evt_2', createdAt: at(1), data: anInquiry('inq_2', 'ref-2') })
  await store({ id: 'evt_3', createdAt: at(1), name: 'account.created', data: anObject('account', 'act_3', { attributes: { 'reference-id': 'ref-3' } }) }) // prettier-ignore
  await storeDeadLetter(client, { ...deadLetter, body: Buffer.from(`{"id": "inq_9", "name": "${MARK}"`) })
  const [{ id = '' } = {}] = await sql('SELECT id::text AS id FROM dead_letters')
  await damage('events', 'payload', 'evt_2')
  await damage('resources', 'attributes', 'act_3')
  await damage('dead_letters', 'body', String(id))
  await t.rejects(findErasureTargets(client, 'ref-1'), { name: 'DecryptionError' }, 'where nothing is told')
  const named = [`dead_letters ${String(id)}`, 'events evt_2', 'resources act_3']
  t.match(await erase('ref-1', true), { report: { eventIds: ['evt_1'], erasureIds: [] }, undecryptable: named })
  t.match(await erase('ref-1'), { report: { eventIds: ['evt_1'], inquiryIds: ['inq_1'] }, undecryptable: named })
  t.match(await sql(`SELECT reference_id, attributes FROM inquiries WHERE id = 'inq_1'`), [{ reference_id: null, attributes: {} }]) // prettier-ignore
  t.strictSame((await erase('ref-1')).report, null, 'it stands nowhere any more')
})

t.test(
  'a damaged payload of the person stays, all else goes; with the payload mended, the next erasure reaches it',
  async (t) => {
    await store({ id: 'evt_1', createdAt: at(1), data: anInquiry('inq_1', 'ref-1') })
    await store({ id: 'evt_2', createdAt: at(2), data: anInquiry('inq_1', 'ref-1') })
    const [{ payload } = {}] = await sql(`SELECT payload FROM events WHERE id = 'evt_2'`)
    await damage('events', 'payload', 'evt_2')
    t.match(await erase('inq_1'), {
      report: { eventIds: ['evt_1'], inquiryIds: ['inq_1'] },
      undecryptable: ['events evt_2'],
    })
    await sql(`UPDATE events SET payload = $1 WHERE id = 'evt_2'`, [JSON.stringify(payload)])
    t.strictSame(await kept(), ['events evt_2 payload'], 'the row that came from it is reduced')
    t.match(await erase('inq_1'), { report: { eventIds: ['evt_2'], inquiryIds: [] }, undecryptable: [] })
    t.strictSame(await kept(), [])
    t.strictSame(linesOf(await verified(url, { encryptionKeys: [key] })), [])
  },
)
