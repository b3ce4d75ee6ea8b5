import {
  findEvent,
  findInquiry,
  openDatabase,
  readChanges,
  readFeedStatus,
  readTickRange,
  readTimeline,
  type ChangeRow,
  type Database,
  type EventRow,
  type VerificationRow,
} from '@persona-ingest/database'
import { scenarios, simulate, type SimulationReport } from '@persona-ingest/simulator'
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Target } from './run-apps.ts'
import type { Session } from './session.ts'

type StoredIn = { readonly url: string; readonly encryptionKeys: readonly string[] }

const storedWithinMs = 30_000
const tickedWithinMs = 5_000
/** Changes of the feed that are printed. */
const maxChanges = 10

/**
 * Sends the events of one inquiry per scenario, out of order and with duplicates, and prints the stored rows and the first
 * changes of the feed. The ids are
 * new each time. Gives the ids of the inquiries; throws when the session stops.
 */
export async function demonstrate(target: Target, stored: StoredIn, session: Session): Promise<string[]> {
  const database = openDatabase(stored)
  try {
    const { latest: before } = await readTickRange(database)
    const report = await sendEvents(target, session)
    const events = await storedEvents(database, report.acknowledgedEventIds, session)
    session.signal.throwIfAborted()
    const ids = [...new Set(events.flatMap(({ inquiry_id: id }) => (id === null ? [] : [id])))]
    session.say(`\n${summary(report, events)}\n\n${await storedInquiries(database, ids)}`)
    session.say(`\n${changesText(await firstChanges(database, before, session))}`)
    return ids
  } finally {
    await database.close()
  }
}

async function sendEvents(target: Target, session: Session): Promise<SimulationReport> {
  return await simulate({
    url: target.webhookUrl,
    secrets: [target.secret],
    inquiries: scenarios.length,
    shuffle: 'full',
    duplicates: 0.3,
    casing: 'mixed',
    concurrency: 8,
    // Retries at the provider's pace would take hours.
    timeCompression: 1000,
    seed: `dev/${randomUUID()}`,
    signal: session.signal,
  })
}

/** Waits until the worker has stored the events, 30 seconds at most, and gives the stored ones. */
async function storedEvents(database: Database, ids: readonly string[], { signal }: Session): Promise<EventRow[]> {
  const endsAtMs = performance.now() + storedWithinMs
  for (;;) {
    const found = await Promise.all(ids.map((id) => findEvent(database, id)))
    const stored = found.filter((event) => event !== null)
    if (stored.length === ids.length || signal.aborted || performance.now() > endsAtMs) return stored
    await wait(100)
  }
}

/** The first changes behind a tick that are of inquiries; waits until a tick shows what was stored. */
async function firstChanges(database: Database, afterTick: bigint, { signal }: Session): Promise<readonly ChangeRow[]> {
  const endsAtMs = performance.now() + tickedWithinMs
  while (!signal.aborted && performance.now() < endsAtMs && (await readFeedStatus(database)).waiting > 0)
    await wait(100)
  signal.throwIfAborted()
  const { latest: upToTick } = await readTickRange(database)
  const changes = await readChanges(database, { afterTick, upToTick, afterSeq: 0n, limit: 500 })
  return changes.filter(({ family }) => family === 'inquiry').slice(0, maxChanges)
}

const changeHead = ['inquiry', 'version', 'status', 'cause', 'event']

/** Changes as `ops changes tail` shows them: ids and statuses. */
export function changesText(changes: readonly ChangeRow[]): string {
  const rows = changes.map(
    ({ object_id: id, version, status, previous_status: previous, cause, event_id: eventId }) => {
      const told = previous === null || previous === status ? (status ?? '-') : `${previous} → ${status ?? '-'}`
      return [id, String(version), told, cause, eventId ?? '-']
    },
  )
  return `What the change feed tells your application of it, the first ${rows.length} changes of inquiries:\n\n${textTable([changeHead, ...rows])}`
}

function summary(report: SimulationReport, events: readonly EventRow[]): string {
  const stale = events.filter(({ outcome }) => outcome === 'stale').length
  return `The demonstration: ${report.eventIds.length} events in ${report.deliveries} deliveries, shuffled, some twice, in \
mixed casing.
${events.length} are stored, each once; ${stale} of them were stale: something newer was there already.`
}

const head = ['inquiry', 'status', 'verifications', 'events', 'out of order', 'newest event']

/** The stored inquiries as a table. */
async function storedInquiries(database: Database, ids: readonly string[]): Promise<string> {
  const rows = await Promise.all(
    ids.map(async (id) => {
      const [details, timeline] = await Promise.all([findInquiry(database, id), readTimeline(database, id)])
      return [
        id,
        details?.inquiry.status ?? '-',
        details?.verifications.map(inWords).join(', ') ?? '-',
        String(timeline.length),
        String(timeline.filter((event) => event.out_of_order).length),
        timeline.at(-1)?.event_name ?? '-',
      ]
    }),
  )
  return textTable([head, ...rows.toSorted(([, left = ''], [, right = '']) => left.localeCompare(right))])
}

/** `verification/selfie` that passed is `selfie passed`. */
function inWords({ type, status }: VerificationRow): string {
  return `${type?.split('/').at(-1) ?? 'unknown'} ${status ?? 'unknown'}`
}

/** A table of plain text; the first row is the head. */
export function textTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) => widths.map((width, column) => (row[column] ?? '').padEnd(width)).join('  ')
  const rule = widths.map((width) => '-'.repeat(width))
  const [head = [], ...body] = rows
  return [head, rule, ...body].map((row) => line(row).trimEnd()).join('\n')
}

export type Addresses = {
  readonly databaseUrl: string
  readonly redisUrl: string
  readonly webhookUrl: string
  readonly secret: string
  /** The folder of the data. */
  readonly folder: string
  /** A stored inquiry, for the examples. */
  readonly inquiryId: string | undefined
}

/** Commands to copy: queries of the stored rows, and more deliveries. */
export function howToGoOn(addresses: Addresses): string {
  const { databaseUrl, redisUrl, webhookUrl, secret, folder, inquiryId = 'inq_...' } = addresses
  return `
Ask the command line (in another terminal):
  export DATABASE_URL='${databaseUrl}' REDIS_URL='${redisUrl}'
  npx pnpm@12 ops inquiries list
  npx pnpm@12 ops timeline ${inquiryId}
  npx pnpm@12 ops status
  npx pnpm@12 ops changes tail   # follows what changes, until Ctrl-C

Ask the database:
  psql '${databaseUrl}'
  SELECT id, status, reference_id, completed_at FROM inquiries ORDER BY event_created_at DESC LIMIT 10;
  SELECT * FROM inquiry_timeline WHERE inquiry_id = '${inquiryId}' ORDER BY event_created_at;

Ask from code:
  const { prisma } = openDatabase({ url: '${databaseUrl}', encryptionKeys: [] })   // @persona-ingest/database
  await prisma.inquiry.findMany({ where: { status: 'approved' }, include: { verifications: true } })

Send more:
  npx pnpm@12 ops simulate --url '${webhookUrl}' --secret '${secret}' --inquiries 10

Deliveries go to ${webhookUrl}. It keeps running; Ctrl-C stops everything, the data stays in ${folder}.
`
}
