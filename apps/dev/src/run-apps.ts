import { startApp } from './app-process.ts'
import { awaitReady } from './await-ready.ts'
import { choosePort } from './choose-port.ts'
import { appEnv, type DevEnv } from './env.ts'
import type { ServerUrls } from './local-servers.ts'
import type { Session } from './session.ts'

/** The ingress refuses it unless NODE_ENV is `development` or `test`. */
const developmentSecret = 'wbhsec_development_only'

/** Where deliveries go, and a secret that signs them. */
export type Target = { readonly webhookUrl: string; readonly secret: string }

/** Runs ingress and worker until the session ends, and waits until both are ready. */
export async function runApps(env: DevEnv, urls: ServerUrls, session: Session): Promise<Target> {
  const ports = await choosePorts(env, session)
  const secret = env.PERSONA_WEBHOOK_SECRETS[0] ?? env.PERSONA_SANDBOX_WEBHOOK_SECRETS[0]
  const shared = {
    REDIS_URL: urls.redisUrl,
    METRICS_HOST: env.METRICS_HOST,
    DRAIN_TIMEOUT_MS: String(env.DRAIN_TIMEOUT_MS),
  }
  const ingressEnv = {
    ...shared,
    HOST: env.HOST,
    ...(secret === undefined && { PERSONA_WEBHOOK_SECRETS: developmentSecret }),
    PORT: String(ports.ingress),
    METRICS_PORT: String(ports.ingressMetrics),
  }
  const workerEnv = { ...shared, DATABASE_URL: urls.databaseUrl, METRICS_PORT: String(ports.workerMetrics) }
  const drainTimeoutMs = env.DRAIN_TIMEOUT_MS
  const starting = Promise.all([
    startApp({ name: 'ingress', env: appEnv(ingressEnv), drainTimeoutMs }, session),
    startApp({ name: 'worker', env: appEnv(workerEnv), drainTimeoutMs }, session),
  ])
  await session.opening(starting, (apps) => drainAll(apps))
  const ingress = `http://${reachableHost(env.HOST)}:${ports.ingress}`
  await awaitReady('ingress', `${ingress}/readyz`, session)
  await awaitReady('worker', `http://${reachableHost(env.METRICS_HOST)}:${ports.workerMetrics}/readyz`, session)
  return { webhookUrl: `${ingress}/webhooks/persona`, secret: secret ?? developmentSecret }
}

type Ports = { readonly ingress: number; readonly ingressMetrics: number; readonly workerMetrics: number }

async function choosePorts(env: DevEnv, { say }: Session): Promise<Ports> {
  const ingress = await choosePort({ name: 'the ingress', wanted: env.PORT }, say)
  const ingressMetrics = await choosePort(
    { name: 'METRICS_PORT of the ingress', wanted: env.METRICS_PORT, spokenFor: [ingress] },
    say,
  )
  const workerMetrics = await choosePort(
    {
      name: 'METRICS_PORT of the worker',
      wanted: env.METRICS_PORT === 0 ? 0 : env.METRICS_PORT + 1,
      spokenFor: [ingress, ingressMetrics],
    },
    say,
  )
  return { ingress, ingressMetrics, workerMetrics }
}

/** Both at once; what fails is told when both have ended. */
async function drainAll(apps: readonly { drain(): Promise<void> }[]): Promise<void> {
  const results = await Promise.allSettled(apps.map((app) => app.drain()))
  const faults = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as Error).message] : []))
  if (faults.length > 0) throw new Error(faults.join('\n'))
}

function reachableHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}
