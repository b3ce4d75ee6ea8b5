import { ConnectionError, failureOf } from '@persona-ingest/database'

/** The schema engine could not reach the server, or got no answer in time. */
const AWAY_CODES = new Set(['P1001', 'P1002', 'P1008', 'P1017'])

/**
 * Connection lost, out of a resource, read-only, in conflict, a lock that was not free in time, shutting down or starting
 * up. Not here, so that the fault is noticed: a password that is wrong, a database that does not exist, a pooler that
 * refuses how we connect (08P01), and whatever a migration itself is told.
 */
const AWAY_STATES = /^(08(?!P01)|53|25006|40|55P03|57P)/

/** What a network does; reading a file has a system call too. A certificate that is not trusted has none. */
const NETWORK_CALLS = new Set(['connect', 'getaddrinfo', 'read', 'write'])

/** Errors without any code: pg's own about its connection, and PostgreSQL's in the engine's text. */
const AWAY_WORDS =
  /^(Connection terminated|timeout e|Query read timeout|Client )|read-only transaction|terminating connection|the database system is|too many clients|due to lock timeout/

/** Tells whether a failed migration failed because PostgreSQL is away or takes no writes from anybody. Never throws. */
export function isAway(error: unknown): boolean {
  if (error instanceof ConnectionError) return isAway(error.cause)
  const { sqlState } = failureOf(error)
  if (sqlState !== null) return AWAY_STATES.test(sqlState)
  const { code, syscall, message } = (error ?? {}) as { code?: unknown; syscall?: unknown; message?: unknown }
  if (typeof code === 'string') return AWAY_CODES.has(code) || NETWORK_CALLS.has(String(syscall))
  return typeof message === 'string' && AWAY_WORDS.test(message)
}
