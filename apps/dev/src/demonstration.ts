import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { findEvent, openDatabase, type Database, type EventRow } from '@persona-ingest/database'
import { scenarios, simulate, type SimulationReport } from '@persona-ingest/simulator'
import type { Target } from './run-apps.ts'
import type { Session } from './session.ts'
import { storedInquiries } from './stored-inquiries.ts'

type StoredIn = { readonly url: string; readonly encryptionKeys: readonly string[] }

const storedWithinMs = 30_000

/**
 * Plays the provider for one inquiry of every scenario, out of order and with duplicates, and prints what is stored.
 *
 * The ids are new each time. Gives the inquiries' ids; throws when the session stops.
 */
export async function demonstrate(target: Target, stored: StoredIn, session: Session): Promise<string[]> {
  const report = await simulate({
    url: target.webhookUrl,
    secrets: [target.secret],
    inquiries: scenarios.length,
    shuffle: 'full',
    duplicates: 0.3,
    casing: 'mixed',
    concurrency: 8,
    // What is refused is tried again at the provider's pace; nobody wants to watch that.
    timeCompression: 1000,
    seed: `dev/${randomUUID()}`,
    signal: session.signal,
  })
  const database = openDatabase(stored)
  try {
    const events = await storedEvents(database, report.acknowledgedEventIds, session)
    session.signal.throwIfAborted()
    const ids = [...new Set(events.flatMap(({ inquiry_id: id }) => (id === null ? [] : [id])))]
    session.say(`\n${summary(report, events)}\n\n${await storedInquiries(database, ids)}`)
    return ids
  } finally {
    await database.close()
  }
}

/** Waits until the worker has stored the events, 30 seconds at most, and gives those that are. */
async function storedEvents(database: Database, ids: readonly string[], { signal }: Session): Promise<EventRow[]> {
  const endsAtMs = performance.now() + storedWithinMs
  for (;;) {
    const found = await Promise.all(ids.map((id) => findEvent(database.prisma, id)))
    const stored = found.filter((event) => event !== null)
    if (stored.length === ids.length || signal.aborted || performance.now() > endsAtMs) return stored
    await wait(100)
  }
}

function summary(report: SimulationReport, events: readonly EventRow[]): string {
  const stale = events.filter(({ outcome }) => outcome === 'stale').length
  return `The demonstration: ${report.eventIds.length} events in ${report.deliveries} deliveries, shuffled, some twice, in \
mixed casing.
${events.length} are stored, each once; ${stale} of them were stale: something newer was there already.`
}
