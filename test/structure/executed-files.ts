import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './source-files.ts'

const SECRET = 'wbhsec_structure_of_the_source_tree'
const EVENT = 'packages/persona/test/fixtures/inquiry-approved.json'
/** The first deliveries also run what is done once per process. */
const WARM_UP = 2

/** Starts ingress and worker in this process, on servers of their own. */
async function startApps() {
  const { startPostgres, startRedis, eventually } = await import('@persona-ingest/testkit')
  const { migrate, openDatabase } = await import('@persona-ingest/database')
  const { createProducer } = await import('@persona-ingest/queue')
  const { createLogger, createRegistry } = await import('@persona-ingest/service')
  const { signatureHeader } = await import('@persona-ingest/persona')
  const ingress = await import('../../apps/ingress/src/index.ts')
  const worker = await import('../../apps/worker/src/index.ts')
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()])
  await migrate({ databaseUrl: postgres.url() })
  const prefix = `structure-${randomUUID()}`
  const urls = { REDIS_URL: redis.url, DATABASE_URL: postgres.url() }
  const logger = createLogger({ app: 'ingress', level: 'info', destination: { write: () => undefined } })
  const producer = createProducer({ redisUrl: redis.url, prefix, encryptionKeys: [] })
  const app = ingress.buildApp({
    env: ingress.readEnv({ ...urls, PERSONA_WEBHOOK_SECRETS: SECRET }),
    logger,
    producer,
    registry: createRegistry(),
    now: Date.now,
  })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const end = (): never => process.exit(1)
  const env = worker.readEnv(urls)
  const built = worker.buildWorker({ env, logger, registry: createRegistry(), queuePrefix: prefix, end })
  built.start()
  // The producer connects in the background; a delivery that comes earlier gets 503.
  await eventually(() => producer.isReady(), { deadlineMs: 60_000 })
  const database = openDatabase({ url: postgres.url(), encryptionKeys: [] })
  const stored = async (id: string) => {
    if ((await database.prisma.event.count({ where: { id } })) !== 1) throw new Error(`${id} is not stored`)
  }
  return {
    async deliver(id: string) {
      const document = JSON.parse(readFileSync(join(root, EVENT), 'utf8')) as { data: { id: string } }
      document.data.id = id
      const body = Buffer.from(JSON.stringify(document))
      const timestampSeconds = Math.floor(Date.now() / 1000)
      const headers = {
        'content-type': 'application/json',
        'persona-signature': signatureHeader({ body, secrets: [SECRET], timestampSeconds }),
      }
      const answer = await fetch(`${address}/webhooks/persona`, { method: 'POST', body, headers })
      if (answer.status !== 200) throw new Error(`Expected 200, got ${answer.status}`)
      await answer.arrayBuffer()
      await eventually(() => stored(id))
    },
    async stop() {
      await Promise.all([app.close(), built.close(), database.close()])
      await producer.close()
      await Promise.all([redis.stop(), postgres.stop()])
    },
  }
}

/** The product's source files of which a function was called since the last look; needs precise coverage. */
async function calledFiles(session: Session): Promise<readonly string[]> {
  const { result } = await session.post('Profiler.takePreciseCoverage')
  return result
    .filter(({ functions }) => functions.some(({ ranges }) => ranges.some(({ count }) => count > 0)))
    .filter(({ url }) => url.startsWith('file:'))
    .map(({ url }) => relative(root, fileURLToPath(url.split('?')[0] as string)))
    .filter((path) => /^(apps|packages)\/[^/]+\/src\//.test(path) && !/\/generated\/|^packages\/testkit\//.test(path))
    .toSorted()
}

/** Runs one delivery from its request to its rows and names the source files of which a function executed. */
export async function executedFiles(): Promise<readonly string[]> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
  const apps = await startApps()
  for (let count = 0; count < WARM_UP; count += 1) await apps.deliver(`evt_warm_up_${count}`)
  await calledFiles(session)
  await apps.deliver('evt_measured')
  const files = await calledFiles(session)
  await apps.stop()
  session.disconnect()
  return files
}
