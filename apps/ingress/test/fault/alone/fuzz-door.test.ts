import { createHash } from 'node:crypto'
import { createConsumer, createProducer, type Delivery } from '@persona-ingest/queue'
import { quarantineReasons } from '@persona-ingest/persona'
import { buildLifecycle, scenarios } from '@persona-ingest/simulator'
import { eventually, spawnApp, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { anIngressProcess } from '../../fixtures/an-ingress-process.ts'
import { aFuzzClient, type FuzzAnswer } from '../../fixtures/fuzz/a-fuzz-client.ts'
import { mutateBody } from '../../fixtures/fuzz/mutate-body.ts'
import { mutateRequest } from '../../fixtures/fuzz/mutate-request.ts'
import { Random } from '../../fixtures/fuzz/random.ts'

/** `FUZZ_RUNS=20000 pnpm test:fault` for a long run; `FUZZ_SEED` brings the same requests again. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 600)
const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000)
const SENDERS = 16

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** What became of one request. `note` brings a failure back: with the seed, its number is enough. */
type Sent = { readonly note: string; readonly hash: string; readonly answer: FuzzAnswer }

/** Documents of many inquiries. Erased ones are another test's: what they reduce has no known bytes any more. */
function aDocument(run: number): unknown {
  const scenario = (['approved', 'declined', 'resubmitted', 'expired-resumed', 're-decided'] as const)[run % 5]
  if (scenario === undefined || !scenarios.includes(scenario)) throw new Error('Expected a known scenario')
  const events = buildLifecycle({
    scenario,
    seed: `${SEED}/${run}`,
    startAtMs: Date.now() - 9_000_000,
    casing: 'mixed',
  })
  return events[run % events.length]?.document
}

async function sendAll(t: Test, port: number): Promise<readonly Sent[]> {
  const client = aFuzzClient(t, port)
  const sent: Sent[] = []
  let next = 0
  const sender = async () => {
    for (let run = next++; run < RUNS; run = next++) {
      // Of its own for every request: which sender takes it must not matter.
      const random = new Random(SEED * 100_003 + run)
      const { body, mutations } = mutateBody(random, aDocument(run))
      const request = mutateRequest(random, body)
      const note = `seed ${SEED}, run ${run}: ${[...mutations, request.mutation].join(', ')}`
      const answer = await client.send(request, body).catch((error: unknown) => ({ status: -1, json: null, error }))
      sent.push({ note, hash: sha256(body), answer })
    }
  }
  await Promise.all(Array.from({ length: SENDERS }, sender))
  return sent
}

type Kept = Pick<Delivery, 'kind' | 'eventId'> & { readonly hash: string }

/** Looks at everything in the queue and leaves it there; gives what is kept, by the hash of its bytes. */
async function keptInQueue(redisUrl: string, wanted: ReadonlySet<string>): Promise<ReadonlyMap<string, Kept>> {
  const kept = new Map<string, Kept>()
  const consumer = createConsumer({
    maxInFlightBytes: 64_000_000,
    encryptionKeys: [],
    redisUrl,
    concurrency: 200,
    maxAttempts: 1,
    handle: async (held) => {
      if (held.kind === 'replay') throw new Error('Expected deliveries only')
      const hash = sha256(held.body)
      kept.set(hash, { kind: held.kind, eventId: held.eventId, hash })
      return { action: 'requeue', delayMs: 3000 }
    },
  })
  consumer.start()
  try {
    await eventually(() => [...wanted].every((hash) => kept.has(hash)), { deadlineMs: 30_000 + RUNS * 5 }).catch(
      () => {},
    )
  } finally {
    await consumer.close({ timeoutMs: 10_000 })
  }
  return kept
}

async function isDrained(t: Test, redisUrl: string): Promise<void> {
  const queue = createProducer({ encryptionKeys: [], redisUrl })
  t.teardown(async () => queue.close())
  const isEmpty = async () => {
    const counts = await queue.counts()
    if (Object.values(counts).some((count) => count > 0)) throw new Error(`left: ${JSON.stringify(counts)}`)
  }
  await eventually(isEmpty, { deadlineMs: 60_000 + RUNS * 20, everyMs: 200 })
}

type Sql = (text: string) => Promise<Record<string, unknown>[]>

/** Every delivery of the queue ends in one of the two tables, for a reason that is the body's own. */
async function endsInATable(t: Test, sql: Sql, kept: readonly Kept[]): Promise<void> {
  const events = new Set((await sql('SELECT id FROM events')).map(({ id }) => id))
  const letters = await sql('SELECT event_id, reason FROM dead_letters')
  const lettered = new Set(letters.map(({ event_id: id }) => id))
  const named = kept.filter(({ eventId }) => eventId !== null)
  const lost = named.filter(({ eventId }) => !events.has(eventId) && !lettered.has(eventId))
  t.strictSame(lost, [])
  // By number: a mutated redaction may have reduced their bytes.
  t.equal(letters.filter((letter) => letter['event_id'] === null).length, kept.length - named.length, 'nameless ones')
  const byReason = new Map<unknown, number>()
  for (const { reason } of letters) byReason.set(reason, (byReason.get(reason) ?? 0) + 1)
  t.comment(`${events.size} events; dead letters: ${JSON.stringify(Object.fromEntries(byReason))}`)
  const theirs: readonly string[] = [...quarantineReasons, 'VALUE_REFUSED']
  t.strictSame(
    [...byReason.keys()].filter((reason) => !theirs.includes(String(reason))),
    [],
    'none is our own fault',
  )
}

t.test(`${RUNS} odd requests, seed ${SEED}`, { timeout: 3_600_000 }, async (t) => {
  const redis = await throwAwayRedis(t)
  const { url: databaseUrl, sql } = await throwAwayDatabase(t)
  const ingress = await anIngressProcess(t, { REDIS_URL: redis.url, LOG_LEVEL: 'info' })
  const sent = await sendAll(t, ingress.port)

  const statuses = new Map<number, number>()
  for (const { answer } of sent) statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
  t.comment(`answers: ${JSON.stringify(Object.fromEntries(statuses))}`)
  t.strictSame(sent.filter(({ answer }) => answer.status < 200 || answer.status >= 500), [], 'always an answer, never 5xx') // prettier-ignore
  t.strictSame(ingress.spawned.errorLines, [])
  t.strictSame(
    ingress.spawned.lines.filter((line) => /"level":"(error|fatal)"/.test(line)),
    [],
  )
  t.equal((await fetch(`${ingress.url}/livez`)).status, 200, 'the process lives')

  const acknowledged = sent.filter(({ answer }) => answer.status === 200)
  const kept = await keptInQueue(redis.url, new Set(acknowledged.map(({ hash }) => hash)))
  // Of several bodies that claim one event id, the first counts.
  const ids = new Set([...kept.values()].filter(({ kind }) => kind === 'event').map(({ eventId }) => eventId))
  const isKept = ({ hash, answer: { json } }: Sent) => kept.has(hash) || ids.has(json?.eventId ?? '')
  t.strictSame(acknowledged.filter((one) => !isKept(one)), [], 'kept byte for byte') // prettier-ignore
  const others = acknowledged.filter(({ hash }) => !kept.has(hash)).length
  t.ok(others <= RUNS / 100, `${others} bodies claimed the id of another`)

  // At its first failure: one that no retry mends would rest for minutes.
  const env = { HOST: '127.0.0.1', METRICS_PORT: '0', LOG_LEVEL: 'error', MAX_ATTEMPTS: '1' }
  const worker = await spawnApp({
    entry: 'apps/worker/src/main.ts',
    env: { ...env, REDIS_URL: redis.url, DATABASE_URL: databaseUrl },
  })
  t.teardown(async () => worker.kill())
  await isDrained(t, redis.url)
  await endsInATable(t, sql, [...kept.values()])
  t.strictSame([...worker.lines, ...worker.errorLines], [], 'the worker has nothing to complain about')
})
