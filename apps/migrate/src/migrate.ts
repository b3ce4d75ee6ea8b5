import { setTimeout as delay } from 'node:timers/promises'
import { ConnectionError, failureOf, migrate } from '@persona-ingest/database'
import type { Logger } from '@persona-ingest/service'

const WAIT_MS = 2_000

/** Applies the migrations, and waits while PostgreSQL is away. Rejects where a migration fails. */
export async function migrateWhenAvailable(databaseUrl: string, logger: Logger): Promise<readonly string[]> {
  for (;;) {
    try {
      return (await migrate({ databaseUrl })).applied
    } catch (error) {
      if (!isAway(error)) throw error
      logger.warn({ description: failureOf(error).description }, 'database away, waiting')
      await delay(WAIT_MS)
    }
  }
}

/** Codes of the schema engine: the server can't be reached, or does not answer in time. */
const AWAY_CODES = new Set(['P1001', 'P1002', 'P1008', 'P1017'])

/**
 * Connection lost, out of a resource, read-only, in conflict, a lock that was not free in time, shutting down, starting up.
 * Faults that an operator must see are left out: a wrong password, a missing database, a pooler that refuses the connection
 * (08P01), and every fault of a migration.
 */
const AWAY_STATES = /^(08(?!P01)|53|25006|40|55P03|57P)/

/** System calls of the network. An error about a file has another call, an untrusted certificate has none. */
const NETWORK_CALLS = new Set(['connect', 'getaddrinfo', 'read', 'write'])

/** Errors without a code: those of pg about its connection, and those of PostgreSQL in the text of the engine. */
const AWAY_MESSAGES =
  /^(Connection terminated|timeout e|Query read timeout|Client )|read-only transaction|terminating connection|the database system is|too many clients|due to lock timeout/

/** Tells whether a migration failed because PostgreSQL is away or takes no writes. Never throws. */
export function isAway(error: unknown): boolean {
  if (error instanceof ConnectionError) return isAway(error.cause)
  const { sqlState } = failureOf(error)
  if (sqlState !== null) return AWAY_STATES.test(sqlState)
  const { code, syscall, message } = (error ?? {}) as { code?: unknown; syscall?: unknown; message?: unknown }
  if (typeof code === 'string') return AWAY_CODES.has(code) || NETWORK_CALLS.has(String(syscall))
  return typeof message === 'string' && AWAY_MESSAGES.test(message)
}

/** Describes why a migration failed, without values of rows: only PostgreSQL's texts about syntax and names are kept. */
export function describeFailure(error: unknown): string {
  const { sqlState, description } = failureOf(error)
  const message = error instanceof Error ? error.message : 'unknown error'
  if (sqlState === null) return message
  return sqlState.startsWith('42') ? `${message} (SQLSTATE ${sqlState})` : description
}
