import { anEvent, anObject, bodyOf } from '@persona-ingest/testkit/events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sendDelivery } from '@persona-ingest/simulator'
import { everyKey, everyRow, eventually, freePort, marksIn, spawnApp, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit' // prettier-ignore
import t, { type Test } from 'tap'
import { bodiesAbout, type PersonBody } from '../fixtures/a-person.ts'
import { aWorkerProcess, type WorkerProcess } from '../fixtures/a-worker-process.ts'
import { eventBody } from '../fixtures/an-event.ts'

const SECRET = 'wbhsec_redaction'
const OLDER = '2026-02-03T10:00:00.000Z'
const REDACTED = '2026-02-03T11:00:00.000Z'

/** The marks that stand as they are in the files of a folder, at any depth: too much to look for every spelling. */
async function marksInFiles(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const texts = await Promise.all(files.map((file) => readFile(file, 'latin1')))
  return texts.flatMap((text) => text.match(/Marked[\w-]+z/g) ?? [])
}

/** The whole of it: ingress and worker as processes at the lowest log level, a real Redis and a real PostgreSQL. */
async function aWholeSystem(t: Test) {
  const redis = await throwAwayRedis(t)
  const { url: databaseUrl, sql, server } = await throwAwayDatabase(t)
  const [port, metricsPort] = await Promise.all([freePort(), freePort()])
  const shared = { HOST: '127.0.0.1', REDIS_URL: redis.url, LOG_LEVEL: 'trace' }
  const ingress = await spawnApp({
    entry: 'apps/ingress/src/main.ts',
    env: { ...shared, PORT: String(port), METRICS_PORT: String(metricsPort), PERSONA_WEBHOOK_SECRETS: SECRET },
  })
  t.teardown(() => ingress.kill())
  const workers: WorkerProcess[] = []
  const startWorker = async () => {
    const worker = await aWorkerProcess(t, { ...shared, DATABASE_URL: databaseUrl, MAX_ATTEMPTS: '100' })
    workers.push(worker)
    return worker
  }
  // An event that fails goes back to the queue again and again, and rests there.
  await sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id LIKE 'evt_failing%' THEN RAISE EXCEPTION 'refused %', NEW.payload; END IF; RETURN NEW; END $$`)
  await sql('CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()')

  const send = async (body: Uint8Array) => {
    const url = `http://127.0.0.1:${port}/webhooks/persona`
    await eventually(
      async () => {
        const nowMs = Date.now()
        const sent = await sendDelivery({ url, body, secrets: [SECRET], nowMs, attempt: 1, firstAttemptedAtMs: nowMs })
        if (!sent.isAcknowledged) throw new Error(`answered ${sent.answer}`)
      },
      { deadlineMs: 20_000, everyMs: 200 },
    )
  }
  const attempts = async (eventId: string) =>
    Number((await redis.command('HGET', `bull:persona-events:e-${eventId}`, 'atm')) ?? 0)
  const isOutOfQueue = async () => {
    const lists = await Promise.all(
      ['wait', 'active'].map((name) => redis.command('LLEN', `bull:persona-events:${name}`)),
    )
    return lists.every((length) => length === 0)
  }
  /** Resolves when everything is where it stays, and what fails has failed once more. */
  const finished = async (failing: readonly string[]) => {
    const before = await Promise.all(failing.map(attempts))
    const went = async () => {
      const after = await Promise.all(failing.map(attempts))
      return after.every((count, index) => count > Number(before[index])) && (await isOutOfQueue())
    }
    await eventually(went, { deadlineMs: 60_000, everyMs: 100 })
  }
  const logs = async () => {
    const metrics = await Promise.all(
      [metricsPort, ...workers.map((worker) => worker.metricsPort)].map(async (each) => {
        const answer = await fetch(`http://127.0.0.1:${each}/metrics`).catch(() => null)
        return (await answer?.text()) ?? ''
      }),
    )
    return [...[ingress, ...workers].flatMap((app) => [...app.lines, ...app.errorLines]), ...metrics].join('\n')
  }
  return { redis, sql, server, databaseUrl, send, finished, startWorker, logs }
}

const redactedPerson = { inquiryId: 'inq_1', accountId: 'act_1', reference: 'Markedreference1z' }
const erasedPerson = { inquiryId: 'inq_2', accountId: 'act_2', reference: 'Markedreference2z' }

t.test('nothing is left of a person who was redacted, nor of one who was erased on request', async (t) => {
  const { redis, sql, server, databaseUrl, send, finished, startWorker, logs } = await aWholeSystem(t)
  const marks = [redactedPerson.reference, erasedPerson.reference]
  const mark = (place: string): string => {
    const text = `Marked${place}${marks.length}z`
    marks.push(text)
    return text
  }
  const sendBodies = async (suffix: string) => {
    const persons = [redactedPerson, erasedPerson]
    const bodies = persons.flatMap((person) => bodiesAbout(person, { suffix, createdAt: OLDER, mark }))
    await Promise.all(bodies.map(({ body }) => send(body)))
    await send((bodies[0] as PersonBody).body)
  }
  const isKept = async () => marksIn([await everyRow(sql), await everyKey(redis)].join('\n'), marks)
  const failing = (...suffixes: readonly string[]) =>
    suffixes.flatMap((suffix) => [`evt_failing_inq_1${suffix}`, `evt_failing_inq_2${suffix}`])
  const areStored = (condition: string, count: number) =>
    eventually(async () => (await sql(`SELECT 1 FROM events WHERE ${condition}`)).length >= count, {
      deadlineMs: 60_000,
    })

  const first = await startWorker()
  await sendBodies('')
  await finished(failing(''))
  t.strictSame(await isKept(), marks, 'all of it is there')
  first.signal('SIGTERM')
  await first.exit
  await sendBodies('_queued')
  t.strictSame(await isKept(), marks, 'what waits in the queue too')

  const account = anObject('account', redactedPerson.accountId, { attributes: { 'redacted-at': REDACTED } })
  await send(bodyOf(anEvent({ id: 'evt_redaction_account', name: 'account.updated', createdAt: REDACTED, data: account }))) // prettier-ignore
  await send(eventBody({ id: 'evt_redaction_inquiry', createdAt: REDACTED, name: 'inquiry.redacted' }))
  const env = { DATABASE_URL: databaseUrl, LOG_LEVEL: 'trace' }
  const args = ['erase', erasedPerson.reference, '--yes', '--json']
  const ops = await spawnApp({ entry: 'apps/ops/src/main.ts', env, args })
  t.strictSame(await ops.exit, { code: 0, signal: null })
  await startWorker()
  await areStored(`id LIKE 'evt_redaction%'`, 2)
  await sendBodies('_late')
  await finished(failing('', '_queued', '_late'))
  await sql('ANALYZE')

  t.strictSame(marksIn(await everyRow(sql), marks), [], 'every column of every table, and the statistics')
  t.strictSame(marksIn(await everyKey(redis), marks), [], 'every key of Redis')
  t.strictSame(marksIn([await logs(), ...ops.lines, ...ops.errorLines].join('\n'), marks), [], 'every log and metric')
  await areStored(`id LIKE '%inq_1%'`, 5)
  await areStored(`id LIKE '%inq_2%'`, 5)
  t.ok((await sql('SELECT 1 FROM dead_letters')).length >= 10, 'skeletons are there')

  // What docs/procedures.md says of the copies below the tables.
  const appendOnly = join(redis.dir, 'data')
  t.not((await marksInFiles(appendOnly)).length, 0)
  await redis.command('BGREWRITEAOF')
  const isRewritten = async () =>
    /aof_rewrite_in_progress:0[^]*aof_rewrite_scheduled:0/.test(String(await redis.command('INFO', 'persistence')))
  await eventually(isRewritten, { deadlineMs: 20_000 })
  t.strictSame(await marksInFiles(appendOnly), [], "Redis' append-only file, rewritten")
  await sql('VACUUM FULL')
  await sql('CHECKPOINT')
  t.strictSame(await marksInFiles(join(server.dir, 'data', 'base')), [], "PostgreSQL's tables, rewritten")
})
