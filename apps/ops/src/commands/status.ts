import { withDeadline } from '@persona-ingest/core'
import type { Command } from 'commander'
import { CommandFailure } from '../runner/command-failure.ts'
import { formatDuration } from '../output/text.ts'
import { readDatabaseStatus, readQueueStatus, type IngestStatus, type Reachability } from '../ingest-status.ts'
import { printJson } from '../output/json-document.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption } from '../runner/options.ts'
import type { Output } from '../output/output.ts'
import { printPairs } from '../output/table.ts'

const CLOSE_TIMEOUT_MS = 1_000

async function readStatus(deps: OpsDeps): Promise<IngestStatus> {
  const env = deps.readEnv(['DATABASE_URL', 'STORAGE_ENCRYPTION_KEYS', 'REDIS_URL', 'QUEUE_ENCRYPTION_KEYS'])
  const producer = deps.createProducer({ redisUrl: env.REDIS_URL, encryptionKeys: env.QUEUE_ENCRYPTION_KEYS })
  const database = deps.openDatabase({
    url: env.DATABASE_URL,
    encryptionKeys: env.STORAGE_ENCRYPTION_KEYS,
    connections: 2,
  })
  try {
    const [queuePart, databasePart] = await Promise.all([
      readQueueStatus(producer, deps.now()),
      readDatabaseStatus(database.prisma),
    ])
    const { redis, queue } = queuePart
    const { database: reachability, ...known } = databasePart
    return { redis, database: reachability, queue, ...known }
  } finally {
    const closed = Promise.allSettled([producer.close(), database.close()])
    await withDeadline(
      CLOSE_TIMEOUT_MS,
      () => closed,
      () => undefined,
    )
  }
}

function reachabilityText({ reachable, fault }: Reachability): string {
  return reachable ? 'reachable' : `AWAY: ${fault ?? ''}`
}

const RESTRAINTS = {
  paused: 'PAUSED from a dashboard: workers wait until it is resumed',
  limited: 'LIMITED from a dashboard: a global concurrency or rate is set',
} as const

function queueText({ queue }: IngestStatus): string | null {
  if (queue === null) return null
  const { oldest_waiting_ms: oldestMs, restraint, waiting, active, delayed, failed } = queue
  const shared = queue.installations > 1 ? `; SHARED by workers of ${queue.installations} databases` : ''
  const restrained = restraint === null ? '' : `; ${RESTRAINTS[restraint]}`
  const text = Object.entries({ waiting, active, delayed, failed }).map(([state, count]) => `${count} ${state}`)
  return `${text.join(', ')}${oldestMs === null ? '' : `; oldest waits for ${formatDuration(oldestMs)}`}${restrained}${shared}`
}

function unencryptedText({ queue }: IngestStatus): string | null {
  const found = queue?.unencrypted ?? null
  if (found === null) return null
  return `${found.deliveries} deliveries came UNENCRYPTED, the last at ${found.last_at.toISOString()}: set QUEUE_ENCRYPTION_KEYS of every ingress and of ops`
}

function lagText({ lag }: IngestStatus): string | null {
  if (lag === null) return null
  const [p50, p99, max] = [lag.p50_ms, lag.p99_ms, lag.max_ms].map(formatDuration)
  return `p50 ${p50}, p99 ${p99}, max ${max} from receipt to stored (newest ${lag.events} events)`
}

function eventsText({ events }: IngestStatus): string | null {
  if (events === null) return null
  return `${events.total_is_exact ? '' : 'about '}${events.total} stored, ${events.last_hour} received in the last hour`
}

function lettersText({ dead_letters: letters }: IngestStatus): string | null {
  if (letters === null) return null
  const reasons = Object.entries(letters.by_reason).map(([reason, count]) => `${count} ${reason}`)
  return `${letters.open} open${reasons.length === 0 ? '' : `: ${reasons.join(', ')}`}`
}

function printStatus(output: Output, status: IngestStatus): void {
  const unencrypted = unencryptedText(status)
  printPairs(output, [
    ['redis', reachabilityText(status.redis)],
    ['database', reachabilityText(status.database)],
    ['queue', queueText(status)],
    ...(unencrypted === null ? [] : [['encryption', unencrypted] as const]),
    ['lag', lagText(status)],
    ['events', eventsText(status)],
    ['newest received', status.events?.newest_received_at],
    ['dead letters', lettersText(status)],
  ])
}

/** `status`: how much waits, how far behind storing is, and what could not be stored. Works in part in an outage. */
export function addStatus(program: Command, deps: OpsDeps): void {
  program
    .command('status')
    .description('show queue depth, oldest waiting age, lag and dead letters')
    .addOption(jsonOption())
    .action(async (options: { readonly json?: true }) => {
      const status = await readStatus(deps)
      if (options.json) printJson(deps.output, status)
      else printStatus(deps.output, status)
      const { redis, database } = status
      const faults = Object.entries({ redis, database }).filter(([, { reachable }]) => !reachable)
      if (faults.length === 0) return
      throw new CommandFailure(faults.map(([server, { fault }]) => `${server} is away (${fault})`).join('; '))
    })
}
