import type { SimulationReport } from '@persona-ingest/simulator'
import { formatDuration } from './format-duration.ts'
import type { Output } from './output.ts'
import { printPairs } from './table.ts'

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

/** Prints what a simulation came to. */
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
