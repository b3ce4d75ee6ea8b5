import { CodedError } from '@persona-ingest/core'
import { migrate } from '@persona-ingest/database'
import { demonstrate, howToGoOn } from './demonstration.ts'
import type { DevEnv } from './env.ts'
import { openDevFolder, startLocalServers, type ServerUrls } from './local-servers.ts'
import { runApps } from './run-apps.ts'
import { Session, type Say } from './session.ts'

/** The reason of a stop that the developer requested. */
class StopRequested extends CodedError {
  override readonly name = 'StopRequested'

  constructor(signal: NodeJS.Signals) {
    super('DEV_STOP_REQUESTED', `stopping on ${signal}; once more ends at once`)
  }
}

/** One Ctrl-C may arrive several times: from the terminal, and from package managers that pass it on. */
const sameRequestMs = 1000

/** Requests a stop on the first SIGINT or SIGTERM; a signal a second or more after it ends the process with 1. */
function stopOnSignals(stop: AbortController): void {
  let requestedAtMs: number | null = null
  const onSignal = (signal: NodeJS.Signals) => {
    const nowMs = performance.now()
    if (requestedAtMs !== null && nowMs - requestedAtMs >= sameRequestMs) process.exit(1)
    requestedAtMs ??= nowMs
    stop.abort(new StopRequested(signal))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
}

/**
 * Runs the whole service on this machine until a signal and gives the exit code: 0 after a requested stop that closed
 * everything, else 1. Never throws.
 */
export async function runDev(env: DevEnv, say: Say): Promise<0 | 1> {
  const stop = new AbortController()
  stopOnSignals(stop)
  const session = new Session({ say, stop })
  const reason = await live(env, session).catch((error: Error) => error)
  // Failures after the request of a stop are its consequences.
  const cause = stop.signal.aborted ? (stop.signal.reason as Error) : reason
  say(`\n${cause.message}`)
  const isClosedWell = await session.close()
  if (isClosedWell) say('Everything is stopped.')
  return cause instanceof StopRequested && isClosedWell ? 0 : 1
}

async function live(env: DevEnv, session: Session): Promise<never> {
  const folder = await session.opening(openDevFolder(env.DEV_FOLDER), ({ release }) => release())
  const urls = await startLocalServers(env, folder.path, session)
  await migrateDatabase(urls, session)
  const target = await runApps(env, urls, session)
  session.say(`Ready: deliveries go to ${target.webhookUrl}.\n`)
  const stored = { url: urls.databaseUrl, encryptionKeys: env.STORAGE_ENCRYPTION_KEYS }
  const inquiryIds = await demonstrate(target, stored, session)
  session.say(howToGoOn({ ...urls, ...target, inquiryId: inquiryIds[0], folder: folder.path }))
  return session.untilStopped()
}

async function migrateDatabase({ databaseUrl }: ServerUrls, session: Session): Promise<void> {
  const { applied } = await migrate({ databaseUrl })
  session.signal.throwIfAborted()
  session.say(applied.length === 0 ? 'The database is up to date.' : `The database is migrated: ${applied.join(', ')}.`)
}
