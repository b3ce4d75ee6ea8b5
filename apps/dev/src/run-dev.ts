import { migrate } from '@persona-ingest/database'
import { demonstrate } from './demonstration.ts'
import { openDevFolder } from './dev-folder.ts'
import type { DevEnv } from './env.ts'
import { howToGoOn } from './how-to-go-on.ts'
import { startLocalServers, type ServerUrls } from './local-servers.ts'
import { runApps } from './run-apps.ts'
import { Session } from './session.ts'
import type { Say } from './say.ts'
import { StopRequested, stopOnSignals } from './stop-on-signals.ts'

/**
 * Runs the whole service on this machine until a signal, and gives the exit code: 0 after a stop that was asked for
 * and went well, else 1. Never throws.
 */
export async function runDev(env: DevEnv, say: Say): Promise<0 | 1> {
  const stop = new AbortController()
  stopOnSignals(stop)
  const session = new Session({ say, stop })
  const reason = await live(env, session).catch((error: Error) => error)
  // Once a stop is requested, whatever fails because of it is no news.
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
