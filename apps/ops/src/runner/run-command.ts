import { withDeadline } from '@persona-ingest/core'
import type { Database } from '@persona-ingest/database'
import type { MaintenanceContext } from '@persona-ingest/operations'
import type { Producer } from '@persona-ingest/queue'
import { progressBar, type ProgressBar } from '../output/progress.ts'
import { commandFailure } from './command-failure.ts'
import type { OpsDeps } from './ops-deps.ts'
import { actorOf, type AuditOptions } from './options.ts'

/** A server that has stopped answering must not keep the command from ending. */
const CLOSE_TIMEOUT_MS = 1_000

/** For work on a connection of its own. */
export type DatabaseAccess = { readonly databaseUrl: string; readonly encryptionKeys: readonly string[] }

type Closable = { close(): Promise<unknown> }

async function thenClose<T>(work: Promise<T>, opened: readonly Closable[]): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw commandFailure(error)
  } finally {
    await withDeadline(
      CLOSE_TIMEOUT_MS,
      () => Promise.allSettled(opened.map((each) => each.close())),
      () => [],
    )
  }
}

/** Opens the database for one command and closes it again; rejects with a `CommandFailure`. */
export async function withDatabase<T>(
  deps: Pick<OpsDeps, 'openDatabase' | 'readEnv'>,
  work: (database: Database, access: DatabaseAccess) => Promise<T>,
): Promise<T> {
  const { DATABASE_URL: url, STORAGE_ENCRYPTION_KEYS: encryptionKeys } = deps.readEnv([
    'DATABASE_URL',
    'STORAGE_ENCRYPTION_KEYS',
  ])
  const database = deps.openDatabase({ url, encryptionKeys, connections: 2 })
  return await thenClose(work(database, { databaseUrl: url, encryptionKeys }), [database])
}

/** Opens the database and the queue for one command and closes both; rejects with a `CommandFailure`. */
export async function withServers<T>(
  deps: Pick<OpsDeps, 'openDatabase' | 'createProducer' | 'readEnv'>,
  work: (servers: { readonly database: Database; readonly producer: Producer }) => Promise<T>,
): Promise<T> {
  // Read before a server is opened, so that all faults of the environment are reported at once.
  const env = deps.readEnv(['DATABASE_URL', 'STORAGE_ENCRYPTION_KEYS', 'REDIS_URL', 'QUEUE_ENCRYPTION_KEYS'])
  const producer = deps.createProducer({ redisUrl: env.REDIS_URL, encryptionKeys: env.QUEUE_ENCRYPTION_KEYS })
  const database = deps.openDatabase({
    url: env.DATABASE_URL,
    encryptionKeys: env.STORAGE_ENCRYPTION_KEYS,
    connections: 2,
  })
  return await thenClose(work({ database, producer }), [producer, database])
}

/** Runs work with a signal that aborts at the first SIGINT or SIGTERM; a second one ends the process as usual. */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const ignoreSignals = () => {
    process.off('SIGINT', abort)
    process.off('SIGTERM', abort)
  }
  const abort = () => {
    ignoreSignals()
    controller.abort()
  }
  process.on('SIGINT', abort)
  process.on('SIGTERM', abort)
  try {
    return await work(controller.signal)
  } finally {
    ignoreSignals()
  }
}

/** Runs work that takes long with a progress bar, until it ends or is interrupted. */
export async function longWork<T>(
  { output }: OpsDeps,
  work: (signal: AbortSignal, progress: ProgressBar) => Promise<T>,
): Promise<T> {
  const progress = progressBar(output)
  return await untilInterrupted(async (signal) => {
    try {
      return await work(signal, progress)
    } finally {
      progress.clear()
    }
  })
}

/** Runs long work of the database that is recorded under the operator's name; rejects with a `CommandFailure`. */
export async function maintain<T>(
  deps: OpsDeps,
  options: AuditOptions,
  work: (context: MaintenanceContext, progress: ProgressBar) => Promise<T>,
): Promise<T> {
  const actor = actorOf(options)
  return await withDatabase(deps, async (database, access) =>
    longWork(deps, async (signal, progress) => await work({ database, ...access, actor, signal }, progress)),
  )
}
