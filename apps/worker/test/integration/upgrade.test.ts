import {
  encryptStored,
  findDeadLetter,
  findEventBody,
  findInquiry,
  listDeadLetters,
  migrate,
  openDatabase,
  rebuild,
  type RowDifference,
} from '@persona-ingest/database'
import { eventually } from '@persona-ingest/testkit'
import t from 'tap'
import { aWorkerProcess } from '../fixtures/a-worker-process.ts'
import type { LogLine } from '../fixtures/a-worker.ts'
import { anOlderVersion, type StoredJob } from '../fixtures/an-older-version.ts'

const old = await anOlderVersion(t, 'version-1')
const { url, sql, keys } = old
const encryptionKeys = [keys.storage]
const database = openDatabase({ url, encryptionKeys })
t.teardown(() => database.close())

const eventIds = async () => (await sql('SELECT id FROM events ORDER BY id')).map(({ id }) => String(id))
const textOf = async (eventId: string) =>
  Buffer.from((await findEventBody(database, eventId))?.bytes ?? '').toString('utf8')

type JobData = { readonly deliveries?: readonly JobData[]; readonly kind?: string; readonly eventId?: string | null }
const dataOf = ({ fields }: StoredJob) => JSON.parse(fields['data'] ?? '') as JobData
/** Ids of the events whose bodies wait in Redis. */
const waiting = old.jobs
  .flatMap((job) => dataOf(job).deliveries ?? [dataOf(job)])
  .flatMap(({ kind, eventId }) => (kind === 'event' && typeof eventId === 'string' ? [eventId] : []))
/** The job of a body that no key decrypts. */
const damaged = old.jobs.find((job) => dataOf(job).eventId === 'evt_damaged')

t.test('the migrations of this version apply to the rows of an older one', async (t) => {
  const before = await sql('SELECT * FROM dead_letters ORDER BY id')
  await migrate({ databaseUrl: url })
  t.match(await sql('SELECT * FROM dead_letters ORDER BY id'), before)
})

t.test('every kind of job of an older version is stored, and a body that does not decrypt stays', async (t) => {
  t.strictSame([...new Set(old.jobs.map(({ id }) => id.slice(0, 2)))].toSorted(), ['e-', 'g-', 'q-', 'r-', 's-'])
  const expected = [...new Set([...(await eventIds()), ...waiting])].filter((id) => id !== 'evt_damaged')
  const worker = await aWorkerProcess(t, {
    REDIS_URL: old.redis.url,
    DATABASE_URL: url,
    QUEUE_ENCRYPTION_KEYS: `${keys.queue},${keys.late}`,
    STORAGE_ENCRYPTION_KEYS: keys.storage,
  })
  await eventually(
    async () => {
      const left = await old.jobIds()
      if (left.length > 1 || left[0] !== damaged?.id) throw new Error(`left: ${left.join()}`)
    },
    { deadlineMs: 30_000 },
  )
  worker.signal('SIGTERM')
  t.strictSame(await worker.exit, { code: 0, signal: null })
  t.equal(await old.dataOf(damaged?.id ?? ''), damaged?.fields['data'])
  t.strictSame(await eventIds(), expected.toSorted())
  t.equal(worker.count('event replayed'), 1)
  const errors = worker.lines.map((line) => JSON.parse(line) as LogLine).filter(({ level }) => level === 'error')
  t.strictSame([...new Set(errors.map(({ eventIds }) => String(eventIds)))], ['evt_damaged'])
})

t.test('what an older version stored in plain is encrypted, and what it encrypted stays', async (t) => {
  const counts = await encryptStored({ databaseUrl: url, encryptionKeys })
  t.match(counts, { 'events.payload': 1, 'events.original_body': 1, 'inquiries.attributes': 1, 'dead_letters.body': 2 })
  const again = await encryptStored({ databaseUrl: url, encryptionKeys })
  t.strictSame(Object.values(again).filter((count) => count > 0), []) // prettier-ignore
})

t.test('stored ciphertext decrypts, and a redaction or erasure reaches what was stored and what waited', async (t) => {
  for (const id of ['evt_kept_1', 'evt_kept_2']) t.match(await textOf(id), 'Invented Kept', id)
  for (const id of waiting.filter((id) => /group|failing|late/.test(id))) t.match(await textOf(id), 'Invented', id)
  for (const name of ['plain', 'secret']) {
    for (const part of ['stored', 'nul', 'waiting', 'redacted'])
      t.notMatch(await textOf(`evt_${name}_${part}`), 'Invented', `${name} ${part}`)
  }
  for (const part of ['stored', 'waiting']) t.notMatch(await textOf(`evt_erased_${part}`), 'Invented', part)
  for (const name of ['Plain', 'Secret', 'Erased'])
    t.notMatch(JSON.stringify(await findInquiry(database, `inq_${name}`)), 'Invented', name)
  t.match(await findInquiry(database, 'inq_Kept'), {
    inquiry: { status: 'pending', event_id: 'evt_kept_2', attributes: { name_first: 'Invented Kept' } },
    verifications: [{ id: 'ver_Kept', attributes: { name_first: 'Invented Kept' } }],
  })
})

t.test('dead letters of both versions have their bodies', async (t) => {
  const { deadLetters } = await listDeadLetters(database, { limit: 100 })
  const bodies = await Promise.all(
    deadLetters.map(async ({ id, reason }) => {
      const text = Buffer.from((await findDeadLetter(database, id))?.body ?? '').toString('latin1')
      return `${reason} ${/Invented [\w, ]+/.exec(text)?.[0] ?? text}`
    }),
  )
  t.strictSame(bodies.toSorted(), [
    'INVALID_JSON Invented Cut, encrypted',
    'INVALID_JSON Invented Cut, plain',
    'INVALID_JSON Invented Cut, waiting',
    'INVALID_JSON Invented Cut, waiting encrypted',
    'INVALID_JSON Invented GroupPlain 0',
    'INVALID_JSON Invented GroupPlain 1',
    'INVALID_JSON \u00ff\u00fe{',
    'VALUE_REFUSED Invented Refused',
  ].toSorted()) // prettier-ignore
})

t.test('the rows are those that this version makes of the same events', async (t) => {
  const differences: RowDifference[] = []
  const onDifference = (difference: RowDifference) => void differences.push(difference)
  const report = await rebuild({ databaseUrl: url, encryptionKeys, isVerifying: true, onDifference })
  t.strictSame(differences, [])
  t.match(report, { events: 22 })
})
