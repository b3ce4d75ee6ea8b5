import { CodedError } from '@persona-ingest/core'
import type { EnvSource } from '@persona-ingest/service'
import { killWithOwner } from '@persona-ingest/testkit'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import pretty from 'pino-pretty'
import { choosePort } from './choose-port.ts'
import { appEnv, type DevEnv } from './env.ts'
import { repositoryRoot, type ServerUrls } from './local-servers.ts'
import type { Session } from './session.ts'

/** The ingress refuses this secret unless NODE_ENV is `development` or `test`. */
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

/** Stops the apps at the same time; reports failures when all have ended. */
async function drainAll(apps: readonly { drain(): Promise<void> }[]): Promise<void> {
  const results = await Promise.allSettled(apps.map((app) => app.drain()))
  const faults = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as Error).message] : []))
  if (faults.length > 0) throw new Error(faults.join('\n'))
}

function reachableHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}

const pollMs = 100
const sayEveryMs = 10_000

/** Waits without a time limit until an address answers 200; prints other answers every ten seconds. */
async function awaitReady(name: string, url: string, session: Session): Promise<void> {
  let saidAtMs = performance.now()
  for (;;) {
    const answer = await readiness(url, session.signal)
    session.signal.throwIfAborted()
    if (answer === null) return
    if (performance.now() - saidAtMs >= sayEveryMs) {
      session.say(`Still waiting for the ${name}: ${answer}`)
      saidAtMs = performance.now()
    }
    await wait(pollMs)
  }
}

/** Null when ready, else the answer. */
async function readiness(url: string, signal: AbortSignal): Promise<string | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(2000)]) })
    const text = await response.text()
    return response.status === 200 ? null : `${response.status} ${text}`
  } catch {
    return 'it does not listen yet'
  }
}

/** The reason of a stop: an app ended by itself. */
class AppEnded extends CodedError {
  override readonly name = 'AppEnded'

  constructor(app: string, exit: string) {
    super('DEV_APP_ENDED', `The ${app} ended unexpectedly (${exit}).`)
  }
}

/** On top of the app's own deadline; an app that still runs then hangs. */
const graceMs = 5000

type AppProcessOptions = {
  readonly name: 'ingress' | 'worker'
  readonly env: EnvSource
  readonly drainTimeoutMs: number
}

/** An app of this repository in a process of its own. */
interface AppProcess {
  readonly name: string
  /** Sends SIGTERM; resolves after a graceful shutdown, and rejects after any other end. */
  drain(): Promise<void>
}

/** Starts an app and prints its log lines; the session stops if the app ends by itself. */
async function startApp(options: AppProcessOptions, session: Session): Promise<AppProcess> {
  const { name, env } = options
  const child = spawn(process.execPath, nodeArguments(name), {
    cwd: repositoryRoot,
    env: { ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Own process group: the app must not get Ctrl-C as a second signal, which ends it at once.
    detached: true,
  })
  child.stdout.pipe(pinoPretty())
  child.stderr.pipe(process.stderr, { end: false })
  await once(child, 'spawn')
  const callOff = killWithOwner([child.pid as number])
  let isDraining = false
  child.once('exit', callOff)
  // Not `exit`: the last log lines are read before `close`.
  const closed = once(child, 'close')
  child.once('close', () => {
    if (!isDraining) session.stop(new AppEnded(name, exitOf(child)))
  })
  const drain = async () => {
    isDraining = true
    if (hasEnded(child)) return
    child.kill('SIGTERM')
    await Promise.race([closed, wait(options.drainTimeoutMs + graceMs, undefined, { ref: false })])
    child.kill('SIGKILL')
    await closed
    // The signal kills an app that has not installed its handler yet; such an app holds nothing.
    if (child.exitCode !== 0 && child.signalCode !== 'SIGTERM')
      throw new Error(`The ${name} did not drain (${exitOf(child)}).`)
  }
  return { name, drain }
}

/** Runs the build of an app; its source where `dev` itself runs from source, as in a test. */
function nodeArguments(name: string): string[] {
  const folder = join(repositoryRoot, 'apps', name)
  const isSource = import.meta.filename.endsWith('.ts')
  return isSource ? [...process.execArgv, join(folder, 'src/main.ts')] : [join(folder, 'dist/main.js')]
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

function exitOf(child: ChildProcess): string {
  return child.signalCode === null ? `exit code ${child.exitCode}` : `by ${child.signalCode}`
}

/** A stream that prints JSON log lines in a readable form and leaves other lines as they are. */
function pinoPretty(): NodeJS.WritableStream {
  return pretty({
    colorize: process.stdout.isTTY,
    ignore: 'pid,hostname,app,requestId',
    messageFormat: '{app}: {msg}',
    singleLine: true,
    sync: true,
    translateTime: 'SYS:HH:MM:ss.l',
  })
}
