import { setTimeout as pause } from 'node:timers/promises'
import type { HeldWorker } from './held-worker.ts'
import type { PatientConnection } from './redis-connection.ts'

const POLL_MS = 20
/** Time for a fetch under way to bring its job, or for BullMQ to come to its end, once nothing is held. */
const IDLE_GRACE_MS = 1500

/**
 * Stops a worker from taking, waits for what it holds, `timeoutMs` at most, and lets its connections go.
 *
 * BullMQ's own graceful close waits for ever for a Redis that is away or frozen, and can't be made a forced one once
 * begun. Returns whether everything held was settled. Never rejects.
 */
export async function closeWorker(options: {
  worker: HeldWorker
  connection: PatientConnection
  timeoutMs: number
  onError: (error: unknown) => void
}): Promise<boolean> {
  const { worker, connection } = options
  const graceful = { isOver: false }
  worker
    .close()
    .catch(options.onError)
    .finally(() => {
      graceful.isOver = true
    })
  const endsAt = performance.now() + options.timeoutMs
  let lastBusyAt = performance.now()
  while (!graceful.isOver && performance.now() < endsAt) {
    if (worker.heldCount > 0) lastBusyAt = performance.now()
    if (performance.now() - lastBusyAt > IDLE_GRACE_MS) break
    await pause(POLL_MS)
  }
  const isSettled = worker.heldCount === 0
  connection.disconnect()
  await worker.abandon()
  return isSettled
}
