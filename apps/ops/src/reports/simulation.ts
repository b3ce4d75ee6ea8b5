import type { Refusal, SimulationProgress, SimulationReport } from '@persona-ingest/simulator'
import { formatDuration, printable, type Output } from '../output/output.ts'
import { printPairs } from '../output/print.ts'
import { CommandFailure } from '../runner/command-failure.ts'

/** How far a simulation is, on one line. */
export function simulationProgress(progress: SimulationProgress): string {
  const { plannedDeliveries, begunDeliveries, acknowledgedEvents, retriesWaiting, gaveUpEvents } = progress
  const share = plannedDeliveries === 0 ? 100 : Math.floor((100 * begunDeliveries) / plannedDeliveries)
  const rest = retriesWaiting + gaveUpEvents === 0 ? '' : `, ${retriesWaiting} to retry, ${gaveUpEvents} given up`
  return `${share} %  ${begunDeliveries}/${plannedDeliveries} deliveries, ${acknowledgedEvents} events acknowledged${rest}`
}

/** What `simulate --json` prints. */
export function simulationDocument(report: SimulationReport): object {
  return {
    events: report.eventIds.length,
    acknowledged: report.acknowledgedEventIds.length,
    gave_up: report.gaveUpEventIds.length,
    deliveries: report.deliveries,
    attempts: report.attempts,
    retries: report.retries,
    quarantined: report.quarantined,
    answers: report.answers,
    latency_ms: report.latencyMs,
    duration_ms: report.durationMs,
    event_ids: report.eventIds,
    acknowledged_event_ids: report.acknowledgedEventIds,
    gave_up_event_ids: report.gaveUpEventIds,
  }
}

function latencyText({ latencyMs }: SimulationReport): string | null {
  if (latencyMs === null) return null
  return Object.entries(latencyMs)
    .map(([name, valueMs]) => `${name} ${formatDuration(valueMs)}`)
    .join(', ')
}

/** Prints the figures of a simulation. */
export function printSimulation(output: Output, report: SimulationReport): void {
  const answers = Object.entries(report.answers).map(([answer, count]) => `${answer}: ${count}`)
  const eventsPerSecond = (report.acknowledgedEventIds.length / report.durationMs) * 1000
  printPairs(output, [
    ['events sent', report.eventIds.length],
    ['acknowledged', report.acknowledgedEventIds.length],
    ['given up', report.gaveUpEventIds.length],
    ['deliveries', report.deliveries],
    ['requests', `${report.attempts}, ${report.retries} of them retries`],
    ['answers', answers.join(', ')],
    ['answered in', latencyText(report)],
    ['took', `${formatDuration(report.durationMs)}, ${Math.round(eventsPerSecond)} events/s`],
  ])
}

/** Throws a `CommandFailure` unless every event was acknowledged and none was quarantined. */
export function failOnUnacknowledged(report: SimulationReport, isInterrupted: boolean): void {
  const missing = report.eventIds.length - report.acknowledgedEventIds.length
  const faults = [
    ...(isInterrupted ? ['interrupted'] : []),
    ...(report.endedWithoutSuccess ? ['nothing was ever accepted, so the further retries were not waited for'] : []),
    ...(report.eventIds.length === 0 ? ['no event was sent'] : []),
    ...(missing > 0 ? [`${missing} of ${report.eventIds.length} events were not acknowledged`] : []),
    ...(report.quarantined > 0 ? [`${report.quarantined} deliveries were quarantined`] : []),
  ]
  if (faults.length > 0) throw new CommandFailure(faults.join('; '))
}

/** Kinds of refusal that are told at most. */
const MOST_KINDS = 10

const HINTS: Readonly<Record<string, string>> = {
  '401': 'sign with a secret of PERSONA_WEBHOOK_SECRETS or PERSONA_SANDBOX_WEBHOOK_SECRETS of the ingress (--secret)',
  '403': 'this address is not in IP_ALLOWLIST of the ingress',
  '404': 'there is no ingress at this path: look at --url',
  '405': 'there is no ingress at this path: look at --url',
  '503': 'the ingress takes no deliveries now: its log and GET /readyz tell why',
  ECONNREFUSED: 'nothing listens there: look at --url, and whether the ingress runs',
  ENOTFOUND: 'the host of --url has no address',
  EAI_AGAIN: 'the host of --url could not be looked up',
  timeout: 'no answer within 5 s',
}

/** Tells each kind of refusal at its first occurrence, with advice. */
export function refusalNotes(url: string, say: (line: string) => void): (refusal: Refusal) => void {
  const said = new Set<string>()
  const { host } = new URL(url)
  return ({ answer, code }) => {
    const kind = [String(answer), code].filter((part) => part !== null).join(' ')
    if (said.has(kind) || said.size >= MOST_KINDS) return
    said.add(kind)
    const hint = HINTS[String(answer)]
    say(`${printable(host)} does not accept: ${printable(kind)}${hint === undefined ? '' : ` (${hint})`}`)
  }
}
