import type { IngestStatus, Reachability } from '@persona-ingest/operations'
import { formatDuration, type Output } from '../output/output.ts'
import { printPairs } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'

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

function deadLettersText({ dead_letters: deadLetters }: IngestStatus): string | null {
  if (deadLetters === null) return null
  const reasons = Object.entries(deadLetters.by_reason).map(([reason, count]) => `${count} ${reason}`)
  return `${deadLetters.open} open${reasons.length === 0 ? '' : `: ${reasons.join(', ')}`}`
}

/** Prints the state of the service. */
export function printStatus(output: Output, status: IngestStatus): void {
  const unencrypted = unencryptedText(status)
  printPairs(output, [
    ['redis', reachabilityText(status.redis)],
    ['database', reachabilityText(status.database)],
    ['queue', queueText(status)],
    ...(unencrypted === null ? [] : [['encryption', unencrypted] as const]),
    ['lag', lagText(status)],
    ['events', eventsText(status)],
    ['newest received', status.events?.newest_received_at],
    ['dead letters', deadLettersText(status)],
  ])
}

/** Throws a `CommandFailure` that names the servers that are away. */
export function failOnAway({ redis, database }: IngestStatus): void {
  const faults = Object.entries({ redis, database }).filter(([, { reachable }]) => !reachable)
  if (faults.length === 0) return
  throw new CommandFailure(faults.map(([server, { fault }]) => `${server} is away (${fault})`).join('; '))
}
