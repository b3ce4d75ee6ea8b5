import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { foldEvents, readEvent, type Environment } from '@persona-ingest/persona'
import { buildLifecycle, scenarios, sendDelivery, type SimulatedEvent } from '@persona-ingest/simulator'
import { eventually, freePort, spawnApp, startRedis, throwAwayDatabase, type SpawnedApp } from '@persona-ingest/testkit'

/** `FAULT_KILLS=1000 FAULT_SEED=7 pnpm test:fault` for a long run, or to see one again (moments differ, choices do not). */
const KILLS = Number(process.env['FAULT_KILLS'] ?? 40)
const SEED = Number(process.env['FAULT_SEED'] ?? Date.now() % 100_000)
const SENDERS = 8
const SECRET = 'wbhsec_process-kills'

/** A small seeded generator (mulberry32): what is killed when must be told by the seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below)
  }
}

/** A process that can be killed and started again under the same environment. */
class Restartable {
  readonly #entry: string
  readonly #env: Readonly<Record<string, string>>
  #app: SpawnedApp | null = null

  constructor(entry: string, env: Readonly<Record<string, string>>) {
    this.#entry = entry
    this.#env = env
  }

  async start(): Promise<void> {
    this.#app = await spawnApp({ entry: this.#entry, env: this.#env })
  }

  async kill(): Promise<void> {
    await this.#app?.kill()
  }

  async restart(): Promise<void> {
    await this.kill()
    await this.start()
  }
}

/** Sends events without end, each again until it is acknowledged or the load ends; some twice. */
function keepLoadOn(url: string, random: (below: number) => number) {
  const acknowledged = new Set<string>()
  const waiting: SimulatedEvent[] = []
  let lifecycles = 0
  const load = { isOver: false }
  const nextEvent = (): SimulatedEvent => {
    while (waiting.length < 40) {
      lifecycles += 1
      const scenario = scenarios[lifecycles % scenarios.length] as (typeof scenarios)[number]
      waiting.push(...buildLifecycle({ scenario, seed: `${SEED}/${lifecycles}`, startAtMs: Date.now() - 3_600_000 }))
    }
    return waiting.splice(random(waiting.length), 1)[0] as SimulatedEvent
  }
  const send = async (): Promise<void> => {
    while (!load.isOver) {
      const event = nextEvent()
      const body = Buffer.from(JSON.stringify(event.document))
      const nowMs = Date.now()
      const sent = await sendDelivery({ url, body, secrets: [SECRET], nowMs, attempt: 1, firstAttemptedAtMs: nowMs })
      if (sent.isAcknowledged) acknowledged.add(event.id)
      if (!sent.isAcknowledged || random(10) === 0) waiting.push(event)
      if (!sent.isAcknowledged) await pause(20)
    }
  }
  const senders = Array.from({ length: SENDERS }, send)
  return {
    acknowledged,
    end: async (): Promise<void> => {
      load.isOver = true
      await Promise.all(senders)
    },
  }
}

type LoggedEvent = { readonly payload: string; readonly environment: Environment; readonly received_at: Date }

/** Rows whose newest event, status or inquiry differ from the fold of the log. */
async function rowsUnlikeTheLog(sql: (text: string) => Promise<Record<string, unknown>[]>): Promise<readonly string[]> {
  const log = (await sql('SELECT payload::text AS payload, environment, received_at FROM events')) as LoggedEvent[]
  const events = log.map(({ payload, environment, received_at: receivedAt }) =>
    readEvent({ body: Buffer.from(payload), environment, receivedAtMs: receivedAt.getTime() }),
  )
  const rows = await sql(`
    SELECT id, event_id, status, NULL AS inquiry_id FROM inquiries
    UNION ALL SELECT id, event_id, status, inquiry_id FROM verifications
    UNION ALL SELECT id, event_id, status, claim_inquiry_id FROM resources`)
  const byId = new Map(rows.map((row) => [row['id'], row]))
  const states = foldEvents(events)
  const unlike = [...states.values()].filter((state) => {
    const row = byId.get(state.id)
    return (
      row?.['event_id'] !== (state.snapshot?.clock.eventId ?? null) ||
      row['status'] !== (state.status?.value ?? null) ||
      row['inquiry_id'] !== (state.claim?.inquiryId ?? null)
    )
  })
  return [...unlike.map((state) => state.id), ...(states.size === rows.length ? [] : [`${rows.length} rows`])]
}

t.test(
  `${KILLS} kills of ingress, worker, Redis and PostgreSQL lose nothing, seed ${SEED}`,
  { timeout: 3_600_000 },
  async (t) => {
    const random = randomFrom(SEED)
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const { server: postgres, url: databaseUrl, sql } = await throwAwayDatabase(t, { durable: true })
    const [port, ingressMetrics, workerMetrics] = await Promise.all([freePort(), freePort(), freePort()])
    const shared = { HOST: '127.0.0.1', REDIS_URL: redis.url, LOG_LEVEL: 'error' }
    const ingressEnv = { PORT: String(port), METRICS_PORT: String(ingressMetrics), PERSONA_WEBHOOK_SECRETS: SECRET }
    const ingress = new Restartable('apps/ingress/src/main.ts', { ...shared, ...ingressEnv })
    const workerEnv = { DATABASE_URL: databaseUrl, METRICS_PORT: String(workerMetrics) }
    const worker = new Restartable('apps/worker/src/main.ts', { ...shared, ...workerEnv })
    t.teardown(() => Promise.all([ingress.kill(), worker.kill()]))
    await Promise.all([ingress.start(), worker.start()])

    const killed: Record<string, number> = {}
    const restarts: readonly (readonly [string, () => Promise<void>])[] = [
      ['ingress', () => ingress.restart()],
      ['worker', () => worker.restart()],
      ['redis', async () => (await redis.kill(), redis.restart())],
      ['postgres', async () => (await postgres.kill(), postgres.restart())],
    ]
    const load = keepLoadOn(`http://127.0.0.1:${port}/webhooks/persona`, randomFrom(SEED + 1))
    for (let kill = 0; kill < KILLS; kill += 1) {
      // Not waiting for anything, but choosing the moment: within a batch, an enqueue, a fetch, a start.
      await pause(50 + random(900))
      const [name, restart] = restarts[random(restarts.length)] as (typeof restarts)[number]
      killed[name] = (killed[name] ?? 0) + 1
      await restart()
    }
    await load.end()
    t.ok(
      load.acknowledged.size > KILLS,
      `${load.acknowledged.size} events were acknowledged; killed ${JSON.stringify(killed)}`,
    )

    const ids = [...load.acknowledged]
    const stored = async (): Promise<readonly string[]> => {
      const rows = await sql('SELECT id FROM events UNION SELECT event_id FROM dead_letters')
      const found = new Set(rows.map((row) => row['id']))
      return ids.filter((id) => !found.has(id))
    }
    await eventually(async () => (await stored()).length === 0, { deadlineMs: 120_000, everyMs: 500 }).catch(
      () => undefined,
    )
    t.same(await stored(), [], 'every acknowledged event is stored')
    t.same(await sql('SELECT event_id, reason FROM dead_letters'), [], 'no event was given up')
    await eventually(async () => Number(await redis.command('ZCARD', 'bull:persona-events:delayed')) === 0, {
      deadlineMs: 60_000,
    })
    t.same(await rowsUnlikeTheLog(sql), [], 'the tables are the fold of the log')
  },
)
