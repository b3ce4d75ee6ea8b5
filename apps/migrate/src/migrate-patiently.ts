import { setTimeout as delay } from 'node:timers/promises'
import { failureOf, migrate } from '@persona-ingest/database'
import type { Logger } from '@persona-ingest/service'
import { isAway } from './is-away.ts'

const WAIT_MS = 2_000

/** Migrates; where PostgreSQL is away it says so and waits. Rejects where a migration fails. */
export async function migratePatiently(databaseUrl: string, logger: Logger): Promise<readonly string[]> {
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

/** Says why a migration failed, without values of rows: of PostgreSQL's texts only those about syntax and names. */
export function explainFailure(error: unknown): string {
  const { sqlState, description } = failureOf(error)
  const message = error instanceof Error ? error.message : 'unknown error'
  if (sqlState === null) return message
  return sqlState.startsWith('42') ? `${message} (SQLSTATE ${sqlState})` : description
}
