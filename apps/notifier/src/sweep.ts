import { listDueNotifications, type Database } from '@persona-ingest/database'
import type { NotificationQueue } from '@persona-ingest/queue'
import type { EndpointHealth } from './endpoint-health.ts'
import type { DatabaseOutage } from './outages.ts'

/** Jobs in Redis at most: an endpoint that is away fills PostgreSQL, and never a Redis. */
export const MAX_QUEUED = 1_000
/** Retries and what Redis has lost are found so often. */
const SWEEP_EVERY_MS = 1_000

/** An object that is due for longer has a job that nobody takes, or only waits long: a second job does no harm. */
const STUCK_AFTER_MS = 30_000

/** Tells which objects are due for too long; each is told again after the same time. */
function createStuckFinder(): (due: readonly string[]) => readonly string[] {
  let dueSince = new Map<string, number>()
  return (due) => {
    const nowMs = performance.now()
    const isStuck = (id: string) => nowMs - (dueSince.get(id) ?? nowMs) > STUCK_AFTER_MS
    const stuck = due.filter(isStuck)
    dueSince = new Map(due.map((id) => [id, isStuck(id) ? nowMs : (dueSince.get(id) ?? nowMs)]))
    return stuck
  }
}

export type SweepOptions = {
  readonly database: Database
  readonly consumer: string
  readonly queue: Pick<NotificationQueue, 'add' | 'count' | 'forget'>
  readonly outage: DatabaseOutage
  readonly health: Pick<EndpointHealth, 'isDead' | 'limit'>
  readonly onQueueError: (error: unknown) => void
}

/** Brings objects that are to be sent into the queue. */
export interface Sweep {
  start(): void
  /** Adds objects that became due; those for which there is no room are added later. Never rejects. */
  add(objectIds: readonly string[]): Promise<void>
  stop(): Promise<void>
}

/** Makes the sweep. It begins at `start`, and then looks every second for objects that are due and not in the queue. */
export function createSweep({ database, consumer, queue, outage, health, onQueueError }: SweepOptions): Sweep {
  const stuckOf = createStuckFinder()
  let isStopped = false
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()
  const sweep = async (): Promise<void> => {
    const queued = await queue.count().catch(onQueueError)
    // What waits there is due longest, and would be found again.
    if (queued === undefined || queued > MAX_QUEUED / 2) return
    const limit = health.limit(MAX_QUEUED - queued)
    const due = await listDueNotifications(database, consumer, limit).catch((error: unknown) => {
      outage.note(error)
    })
    if (due === undefined) return
    outage.end()
    const stuck = stuckOf(due)
    await queue
      .forget(stuck)
      .then(async () => await queue.add(due))
      .catch(onQueueError)
  }
  const schedule = (): void => {
    if (isStopped) return
    timer = setTimeout(() => {
      running = sweep().finally(schedule)
    }, SWEEP_EVERY_MS)
  }
  return {
    start() {
      running = sweep().finally(schedule)
    },
    async add(objectIds) {
      // What is due stays so: the sweep tries some of it.
      if (objectIds.length === 0 || isStopped || health.isDead) return
      try {
        const room = objectIds.length === 1 ? 1 : MAX_QUEUED - (await queue.count())
        if (room > 0) await queue.add(objectIds.slice(0, room))
      } catch (error) {
        onQueueError(error)
      }
    },
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await running
    },
  }
}
