import type { ConsumerDocument, IngestStatus, Reachability } from '@persona-ingest/operations'
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

function changesText({ changes }: IngestStatus): string | null {
  if (changes === null) return null
  const { newest_tick: tick, newest_tick_at: at, waiting, oldest_waiting_ms: waitsMs } = changes
  const newest = tick === null ? 'no tick yet' : `newest tick ${tick} at ${at?.toISOString()}`
  const waits =
    waitsMs === null ? 'none waits for a tick' : `${waiting} wait for a tick, the oldest for ${formatDuration(waitsMs)}`
  return `${newest}; ${waits}`
}

function consumerText(consumer: ConsumerDocument): string {
  const { name, tick, expired, lag_changes: changes, lag_is_exact: isExact, lag_ms: lagMs } = consumer
  const { notifications_pending: pending, notifications_failed: failed } = consumer
  const sending = pending + failed === 0 ? '' : `; ${pending} notifications to send, ${failed} failed`
  if (expired) return `${name} has EXPIRED at tick ${tick}: it must read all rows${sending}`
  if (lagMs === 0 || lagMs === null) return `${name} is at the newest tick${sending}`
  return `${name} is ${isExact ? '' : 'about '}${changes} changes behind, for ${formatDuration(lagMs)}${sending}`
}

/** Each line is for people on call; `ops changes consumers` lists the others. */
const MAX_CONSUMERS = 5

function consumerLines({ changes }: IngestStatus): readonly (readonly [string, string])[] {
  const consumers = changes?.consumers ?? []
  const lines = consumers.slice(0, MAX_CONSUMERS).map((each) => ['consumer', consumerText(each)] as const)
  const left = consumers.length - lines.length
  return left === 0 ? lines : [...lines, ['consumer', `and ${left} more: \`ops changes consumers\``]]
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
    ['changes', changesText(status)],
    ...consumerLines(status),
  ])
}

/** Throws a `CommandFailure` that names the servers that are away. */
export function failOnAway({ redis, database }: IngestStatus): void {
  const faults = Object.entries({ redis, database }).filter(([, { reachable }]) => !reachable)
  if (faults.length === 0) return
  throw new CommandFailure(faults.map(([server, { fault }]) => `${server} is away (${fault})`).join('; '))
}
