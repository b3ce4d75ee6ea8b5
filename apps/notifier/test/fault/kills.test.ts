import { Deadline } from '@persona-ingest/core'
import { createProducer } from '@persona-ingest/queue'
import {
  eventually,
  freePort,
  spawnApp,
  throwAwayDatabase,
  throwAwayRedis,
  type SpawnedApp,
} from '@persona-ingest/testkit'
import { anEvent, anObject, bodyOf } from '@persona-ingest/testkit/events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { SECRET } from '../fixtures/a-receiver.ts'

/** Of each: the notifier, the worker, Redis and the receiver. `FAULT_KILLS=500 FAULT_SEED=7` for a long run. */
const KILLS = Number(process.env['FAULT_KILLS'] ?? 3)
const SEED = Number(process.env['FAULT_SEED'] ?? Date.now() % 100_000)
const OBJECTS = 30
const CONSUMER = 'killed'

let state = SEED
/** Park and Miller's generator; the seed is printed. */
function random(below: number): number {
  state = (state * 48_271 + 11) % 2_147_483_647
  return state % below
}

type Note = { readonly id: string; readonly version: number; readonly messageId: string }

const redis = await throwAwayRedis(t)
const { url: databaseUrl, sql } = await throwAwayDatabase(t)
const port = await freePort()
const notes = join(t.testdir({}), 'notes')
writeFileSync(notes, '')

const common = { REDIS_URL: redis.url, DATABASE_URL: databaseUrl, METRICS_PORT: '0', LOG_LEVEL: 'warn' }
const notifierEnv = {
  ...common,
  NOTIFIER_URL: `http://127.0.0.1:${port}/`,
  NOTIFIER_SECRET: SECRET,
  NOTIFIER_CONSUMER: CONSUMER,
  NOTIFIER_FROM: 'start',
  NOTIFIER_TIMEOUT_MS: '1000',
}
const programs = {
  notifier: { entry: 'apps/notifier/src/main.ts', env: notifierEnv },
  other: { entry: 'apps/notifier/src/main.ts', env: notifierEnv },
  worker: { entry: 'apps/worker/src/main.ts', env: common },
  receiver: { entry: 'apps/notifier/test/fixtures/receiver-process.ts', env: { PORT: String(port), NOTES: notes } },
} as const
type Program = keyof typeof programs
const running = new Map<Program, SpawnedApp>()
async function start(program: Program): Promise<void> {
  running.set(program, await spawnApp(programs[program]))
}
t.teardown(() => Promise.all([...running.values()].map((app) => app.kill())))

const producer = createProducer({ encryptionKeys: [], redisUrl: redis.url })
t.teardown(() => producer.close())
let events = 0
/** Puts an event about an object into the worker's queue, as an ingress would: again until Redis has it. */
async function change(object: number): Promise<void> {
  events += 1
  const id = `evt_${events}`
  const createdAt = new Date(Date.UTC(2026, 1, 3) + events * 1000).toISOString()
  const data = anObject('inquiry', `inq_${object}`, { attributes: { status: `status-${events}` } })
  const body = bodyOf(anEvent({ id, name: 'inquiry.noted', createdAt, data }))
  const delivery = { kind: 'event', eventId: id, environment: 'production', receivedAtMs: Date.now(), body } as const
  await eventually(async () => producer.enqueue(delivery, new Deadline(2000)).then(() => true), { deadlineMs: 60_000 })
}

const readNotes = (): readonly Note[] =>
  readFileSync(notes, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Note)

/** Changes objects without end; gives the function that ends it. */
function keepChanging(): () => Promise<void> {
  const load = { isOver: false }
  const changing = async (): Promise<void> => {
    while (!load.isOver) {
      await change(random(OBJECTS))
      await pause(10)
    }
  }
  const all = changing()
  return async () => {
    load.isOver = true
    await all
  }
}

/** Kills while changes are stored and sent; how far each of them is, is chance. */
async function killOne(victim: 'notifier' | 'worker' | 'redis' | 'receiver'): Promise<void> {
  const wanted = readNotes().length + 5 + random(15)
  const endChanges = keepChanging()
  await eventually(() => readNotes().length >= wanted, { everyMs: 5, deadlineMs: 60_000 })
  if (victim === 'redis') {
    await redis.kill()
    await redis.restart()
  } else {
    const program = victim === 'notifier' && random(2) === 0 ? 'other' : victim
    await running.get(program)?.kill()
    await start(program)
  }
  await endChanges()
}

t.test(
  `${KILLS} kills each lose no last version, and versions never fall`,
  { timeout: 60_000 + KILLS * 60_000 },
  async (t) => {
    t.comment(`FAULT_SEED=${SEED}`)
    await Promise.all((Object.keys(programs) as Program[]).map(start))
    for (let object = 0; object < OBJECTS; object += 1) await change(object)
    const victims = (['notifier', 'worker', 'redis', 'receiver'] as const).flatMap((victim) => Array<typeof victim>(KILLS).fill(victim)) // prettier-ignore
    while (victims.length > 0) {
      const [victim] = victims.splice(random(victims.length), 1)
      const startedAtMs = performance.now()
      if (victim !== undefined) await killOne(victim)
      t.comment(`${victim} ${Math.round(performance.now() - startedAtMs)} ms`)
    }
    const count = async (text: string) => Number((await sql(`SELECT count(*)::int AS n FROM ${text}`))[0]?.['n'])
    await eventually(async () => (await count('events')) === events, { deadlineMs: 90_000 })
    await eventually(
      async () => {
        const last = new Map(readNotes().map(({ id, version }) => [id, version]))
        const rows = await sql('SELECT id, version::int AS version FROM inquiries')
        const behind = rows.filter(({ id, version }) => last.get(String(id)) !== version)
        if (behind.length > 0) throw new Error(`not arrived: ${JSON.stringify(behind.slice(0, 3))}`)
        if ((await count('notifications')) > 0) throw new Error('some are not answered')
      },
      { deadlineMs: 90_000 },
    )
    const newest = new Map<string, number>()
    const messageIds = new Map<string, string>()
    const falls: Note[] = []
    const others: Note[] = []
    for (const note of readNotes()) {
      const { id, version, messageId } = note
      if (version < (newest.get(id) ?? 0)) falls.push(note)
      newest.set(id, version)
      const known = messageIds.get(`${id} ${version}`) ?? messageId
      messageIds.set(`${id} ${version}`, known)
      if (known !== messageId) others.push(note)
    }
    t.equal(newest.size, OBJECTS)
    t.strictSame(falls, [], 'versions never fall')
    t.strictSame(others, [], 'a version has one id')
    const repeated = readNotes().length - messageIds.size
    t.comment(`${events} events, ${readNotes().length} requests, ${repeated} of them repetitions`)
  },
)
