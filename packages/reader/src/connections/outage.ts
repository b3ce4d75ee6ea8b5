import { setTimeout as pause } from 'node:timers/promises'
import { backoffMs } from '@persona-ingest/core'

const BACKOFF = { firstMs: 100, longestMs: 3_000, jitter: 0.5 }

/**
 * States of a server that is away, starts, ends, lacks a resource, is read-only after a fail-over, or lets two transactions
 * wait for each other. Class 08 has the codes of poolers whose server is away.
 */
const OUTAGE_STATES = /^(08...|53...|57P0[1235]|25006|40001|40P01|55P03|57014)$/

/** Codes of the system, such as `ECONNREFUSED` and `EAI_AGAIN`. Codes of TLS look different: no wait mends a certificate. */
const SYSTEM_CODE = /^E[A-Z]+(_AGAIN)?$/

/** Messages of pg and pg-pool (8.23.1) that come without a code. */
const DRIVER_MESSAGES =
  /^(Connection terminated|timeout e|Query read timeout|Client has encountered a connection error|Client was closed)/

/** Whether an error tells that PostgreSQL is away for a time; any other is thrown to the caller. */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code = '', severity } = error as Error & { readonly code?: string; readonly severity?: string }
  if (severity !== undefined) return OUTAGE_STATES.test(code)
  return SYSTEM_CODE.test(code) || DRIVER_MESSAGES.test(error.message)
}

export type RetryOptions = {
  /** Ends the waiting; the last error is thrown then. */
  readonly signal: AbortSignal
  readonly onOutage: (error: Error) => void
}

/** Repeats work while PostgreSQL is away. Any other error rejects. */
export async function throughOutages<T>(work: () => Promise<T>, { signal, onOutage }: RetryOptions): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await work()
    } catch (error) {
      if (signal.aborted || !isOutage(error)) throw error
      onOutage(error as Error)
      await pause(backoffMs(failures, BACKOFF), null, { signal }).catch(() => undefined)
      if (signal.aborted) throw error
    }
  }
}
