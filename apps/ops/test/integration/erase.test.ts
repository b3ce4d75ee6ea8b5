import { openDatabase, storeEvents } from '@persona-ingest/database'
import { readEvent } from '@persona-ingest/persona'
import { everyRow, marksIn, throwAwayDatabase } from '@persona-ingest/testkit'
import { anEvent, anObject, bodyOf } from '@persona-ingest/testkit/events'
import t from 'tap'
import { runCli } from '../fixtures/run-cli.ts'
import { runHere } from '../fixtures/run-here.ts'
import { MARKER, storeExamples } from '../fixtures/stored-events.ts'

const { url, sql } = await throwAwayDatabase(t)
const env = { DATABASE_URL: url }
const reference = `${MARKER}-ref`
const tables = 'events, inquiries, verifications, resources, objects, claims, event_objects, redactions, dead_letters, erasures' // prettier-ignore

t.beforeEach(async () => {
  await sql(`TRUNCATE ${tables}`)
  await storeExamples(url, sql)
  // Of these, nothing says whose they are.
  await sql(`DELETE FROM dead_letters WHERE event_id IS DISTINCT FROM 'evt_refused'`)
  await sql(`UPDATE events SET payload = '{}', original_body = NULL WHERE id = 'evt_odd'`)
})

const isKept = async () => marksIn(await everyRow(sql), [MARKER]).length > 0
const erase = async (args: readonly string[], confirm?: boolean) => {
  const asked: string[] = []
  const answer = async (question: string) => (asked.push(question), confirm === true)
  const result = await runHere(['erase', ...args], env, confirm === undefined ? {} : { confirm: answer })
  return { ...result, asked }
}

t.test('a dry run shows what would be erased, and erases nothing', async (t) => {
  const { code, stdout, stderr } = await erase(['inq_1', '--dry-run'])
  t.strictSame([code, stderr], [0, ''])
  t.match(
    stdout,
    /what it reaches.*\n.*\ninquiry +inq_1\n[^]*what would be erased\ntable +rows\nevents +3\ninquiries +1\n/,
  )
  t.ok(await isKept())
  t.strictSame(await sql('SELECT 1 FROM erasures'), [])
})

t.test('nothing is erased without a yes', async (t) => {
  const { code, stdout, stderr, asked } = await erase(['inq_1'], false)
  t.equal(code, 1)
  t.match(stdout, 'what would be erased')
  t.equal(stderr, 'error: nothing was erased\n')
  t.match(asked, ['Erase this for good?'])
  t.ok(await isKept())
})

t.test('with a yes it is erased, reported and recorded', async (t) => {
  const { code, stdout } = await erase(['inq_1', '--reason', 'ticket 7'], true)
  t.equal(code, 0)
  t.match(
    stdout,
    /what would be erased[^]*what was erased\n.*\nevents +3\ninquiries +1\nverifications +1\nresources +1\n/,
  )
  t.notOk(await isKept())
  t.strictSame(await sql('SELECT object_id, reason FROM erasures'), [{ object_id: 'inq_1', reason: 'ticket 7' }])
  t.notMatch(stdout, MARKER)
})

t.test('for programs: one document of counts and ids, by a process of its own', async (t) => {
  const { code, stdout, stderr } = await runCli(['erase', reference, '--yes', '--json'], { ...env, LOG_LEVEL: 'trace' })
  t.strictSame([code, stderr], [0, ''])
  const { erasure_ids: erasureIds, ...document } = JSON.parse(stdout)
  t.strictSame(document, {
    dry_run: false,
    subject: 'reference-id',
    reason: null,
    targets: { inquiry_ids: ['inq_1'], account_ids: [], other_ids: [], dead_letter_ids: [] },
    counts: { events: 3, inquiries: 1, verifications: 1, resources: 1, dead_letters: 0 },
    erased: {
      event_ids: ['evt_approved', 'evt_created', 'evt_started'],
      inquiry_ids: ['inq_1'],
      verification_ids: ['ver_1'],
      resource_ids: ['iqse_1'],
      dead_letter_ids: [],
    },
  })
  t.strictSame(await sql('SELECT id FROM erasures'), [{ id: erasureIds[0] }])
  t.notOk(await isKept())
  t.notMatch(stdout, MARKER)
  const again = await runCli(['erase', reference, '--yes', '--json'], env)
  t.strictSame([again.code, again.stdout], [1, ''])
  t.equal(again.stderr, 'error: nothing is stored of what was asked for\n', 'which does not repeat it')
})

t.test('an erasure holds against events received already, though the clock of the machine is behind', async (t) => {
  const createdAt = new Date(Date.now() - 1_000).toISOString()
  const { code } = await runHere(['erase', 'inq_1', '--yes'], env, { now: () => Date.now() - 3_600_000 })
  t.equal(code, 0)
  const database = openDatabase({ url, encryptionKeys: [] })
  t.teardown(() => database.close())
  const data = anObject('inquiry', 'inq_1', { attributes: { 'name-first': MARKER } })
  const body = bodyOf(anEvent({ id: 'evt_queued', createdAt, data }))
  await storeEvents(database, [readEvent({ body, environment: 'production', receivedAtMs: Date.now() })])
  t.notOk(await isKept())
})

t.test('what can not be decrypted is named, all else is erased, and it exits with 1', async (t) => {
  await sql(`UPDATE events SET payload = '"gone:AAAA"' WHERE id = 'evt_odd'`)
  const { code, stdout, stderr } = await erase([reference, '--yes', '--json'])
  t.equal(code, 1)
  t.match(stderr, /^error: not decrypted: 1 events \(evt_odd\); all else was erased; .* check STORAGE_ENCRYPTION_KEYS/)
  t.match(JSON.parse(stdout), { counts: { events: 3 }, not_decrypted: { event_ids: ['evt_odd'] } })
  t.notOk(await isKept())
})

t.test('without a terminal there is nobody to ask: wrong usage', async (t) => {
  const { code, stdout, stderr } = await runCli(['erase', 'inq_1'], env)
  t.strictSame([code, stdout], [2, ''])
  t.match(stderr, /^error: .*--yes/)
  t.ok(await isKept())
})

t.test('what is not found, or could be two things, exits with 1', async (t) => {
  for (const args of [['inq_9'], ['inq_1', '--as', 'account'], ['inq_1', '--as', 'reference-id']]) {
    const { code, stderr } = await erase([...args, '--yes'])
    t.strictSame([code, stderr], [1, 'error: nothing is stored of what was asked for\n'], args.join(' '))
  }
  await sql(`UPDATE inquiries SET reference_id = 'inq_1' WHERE id = 'inq_2'`)
  const { code, stderr } = await erase(['inq_1', '--yes'])
  t.strictSame([code, stderr], [1, 'error: this is both an id and a reference id: say which is meant with --as\n'])
  t.ok(await isKept())
  t.equal((await erase(['inq_1', '--yes', '--as', 'inquiry'])).code, 0)
})
