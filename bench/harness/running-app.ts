import { request } from 'node:http'
import { eventually, freePort, spawnApp } from '@persona-ingest/testkit'
import { SECRET } from './load.ts'
import type { Servers } from './servers.ts'

/** A contestant's process. */
export type RunningApp = {
  readonly pid: number
  /** Where it takes deliveries; 0 where it takes none. */
  readonly port: number
  stop(): Promise<void>
}

function answers(port: number, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    request({ port, path, host: '127.0.0.1' }, (answer) => {
      answer.resume()
      resolve(answer.statusCode === 200)
    })
      .on('error', () => resolve(false))
      .end()
  })
}

/** Of a benchmark; it signs nothing that matters. */
const NOTIFIER_SECRET = `whsec_${Buffer.alloc(24, 'bench').toString('base64')}`

/** As the worker is shipped (`start:worker`, Dockerfile). */
const WORKER_FLAGS = ['--max-semi-space-size=64']

async function start(
  entry: string,
  env: Record<string, string>,
  port: number,
  ready: [number, string],
  nodeFlags: readonly string[] = [],
) {
  const app = await spawnApp({ entry, env: { NODE_ENV: 'production', ...env }, nodeFlags })
  await eventually(() => answers(...ready), { deadlineMs: 30_000 }).catch((error: unknown) => {
    throw new Error(`${entry} did not start: ${app.errorLines.join('\n')}`, { cause: error })
  })
  return {
    pid: app.pid,
    port,
    async stop() {
      app.signal('SIGTERM')
      await app.exit
    },
  }
}

/** Our ingress, as built. Its log goes where a container's goes: to a pipe that is read. */
export async function startIngress(servers: Servers, env: Record<string, string> = {}): Promise<RunningApp> {
  const [port, metrics] = await Promise.all([freePort(), freePort()])
  const own = { HOST: '127.0.0.1', PORT: String(port), METRICS_PORT: String(metrics) }
  const shared = { REDIS_URL: servers.redis.url, PERSONA_WEBHOOK_SECRETS: SECRET }
  return start('apps/ingress/dist/main.js', { ...own, ...shared, ...env }, port, [metrics, '/readyz'])
}

/** Our worker, as built. */
export async function startWorker(servers: Servers, env: Record<string, string> = {}): Promise<RunningApp> {
  const metrics = await freePort()
  const own = { HOST: '127.0.0.1', METRICS_PORT: String(metrics) }
  const shared = { REDIS_URL: servers.redis.url, DATABASE_URL: servers.databaseUrl }
  return start('apps/worker/dist/main.js', { ...own, ...shared, ...env }, 0, [metrics, '/readyz'], WORKER_FLAGS)
}

/** Our notifier, as built. */
export async function startNotifier(servers: Servers, env: Record<string, string>): Promise<RunningApp> {
  const metrics = await freePort()
  const own = { METRICS_HOST: '127.0.0.1', METRICS_PORT: String(metrics), NOTIFIER_SECRET }
  const shared = { REDIS_URL: servers.redis.url, DATABASE_URL: servers.databaseUrl }
  return start('apps/notifier/dist/main.js', { ...own, ...shared, ...env }, 0, [metrics, '/livez'])
}

/** A contestant of `bench/contestants`. */
export async function startContestant(
  name: string,
  servers: Servers,
  env: Record<string, string> = {},
): Promise<RunningApp> {
  const port = await freePort()
  const shared = { REDIS_URL: servers.redis.url, DATABASE_URL: servers.databaseUrl, SECRET, PORT: String(port) }
  return start(`bench/contestants/${name}.ts`, { ...shared, ...env }, port, [port, '/livez'])
}
