import {
  casings,
  rotations,
  scenarios,
  shuffles,
  type Casing,
  type Rotation,
  type Scenario,
  type Shuffle,
  type SimulationReport,
} from '@persona-ingest/simulator'
import { Option, type Command } from 'commander'
import { CommandFailure } from '../runner/command-failure.ts'
import { untilInterrupted } from '../runner/long-work.ts'
import { printJson } from '../output/json-document.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { jsonOption, number, scenarioList, secretList, webhookUrl, wholeNumber } from '../runner/options.ts'
import { statusLine } from '../output/progress.ts'
import { printSimulation, refusalNotes, simulationDocument, simulationProgress } from '../reports/simulation.ts'

type Options = {
  readonly url: string
  readonly secret?: readonly string[]
  readonly inquiries: number
  readonly scenarios?: readonly Scenario[]
  readonly rate?: number
  readonly duplicates: number
  readonly shuffle: Shuffle
  readonly casing: Casing | 'mixed'
  readonly rotate: Rotation
  readonly concurrency: number
  readonly duration?: number
  readonly seed?: string
  readonly compressTime: number
  readonly json?: true
}

const MAX_INQUIRIES = 100_000_000
/** The first retry comes after 3 s, the second after 64 s more: a wrong secret is no better by then. */
const LONGEST_WAIT_WITHOUT_SUCCESS_MS = 10_000

function secretsFor(deps: OpsDeps, { secret, rotate }: Options, command: Command): readonly string[] {
  const secrets = secret ?? deps.readEnv(['PERSONA_WEBHOOK_SECRETS']).PERSONA_WEBHOOK_SECRETS
  if (secrets.length === 0) throw new CommandFailure('no secret to sign with: give --secret or PERSONA_WEBHOOK_SECRETS')
  if (rotate !== 'none' && secrets.length < 2) command.error('error: --rotate needs two secrets', { exitCode: 2 })
  return secrets
}

/** Exit code 0 says that everything sent has arrived: whatever speaks against that is a failure. */
function judge(report: SimulationReport, isInterrupted: boolean): void {
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

async function run(deps: OpsDeps, options: Options, command: Command): Promise<void> {
  const secrets = secretsFor(deps, options, command)
  const interruption = untilInterrupted()
  const progress = statusLine(deps.output)
  const say = (line: string) => {
    progress.clear()
    deps.output.note(line)
  }
  try {
    const report = await deps.simulate({
      ...options,
      secrets,
      ratePerSecond: options.rate,
      rotation: options.rotate,
      durationSeconds: options.duration,
      timeCompression: options.compressTime,
      signal: interruption.signal,
      onProgress: (state) => progress.show(simulationProgress(state)),
      onRefusal: refusalNotes(options.url, say),
      longestWaitWithoutSuccessMs: LONGEST_WAIT_WITHOUT_SUCCESS_MS,
    })
    progress.clear()
    if (options.json) printJson(deps.output, simulationDocument(report))
    else printSimulation(deps.output, report)
    judge(report, interruption.signal.aborted)
  } finally {
    interruption.dispose()
  }
}

/** `simulate`: plays the provider, sending signed flows of events to an ingress. */
export function addSimulate(program: Command, deps: OpsDeps): void {
  program
    .command('simulate')
    .description('send signed flows of events to an ingress, as Persona would')
    .addOption(
      new Option('--url <url>', 'the ingress, with or without /webhooks/persona')
        .default(webhookUrl('http://127.0.0.1:8080'))
        .argParser(webhookUrl),
    )
    .addOption(
      new Option('--secret <secret>', 'secret to sign with; repeatable, or a comma-separated list').argParser(
        secretList,
      ),
    )
    .addOption(new Option('--inquiries <n>', 'how many').default(10).argParser(wholeNumber(1, MAX_INQUIRIES)))
    .addOption(
      new Option('--scenarios <list>', `taken in turn, out of ${scenarios.join(', ')} (default: all)`).argParser(
        scenarioList,
      ),
    )
    .addOption(new Option('--rate <n>', 'new deliveries a second (default: unlimited)').argParser(number(0.001)))
    .addOption(
      new Option('--duplicates <share>', 'share of events delivered again: 0.1 = a tenth')
        .default(0)
        .argParser(number(0)),
    )
    .addOption(
      new Option('--shuffle [how]', 'within each inquiry, or over everything')
        .choices(shuffles)
        .default('none')
        .preset('full'),
    )
    .addOption(new Option('--casing <name>', "the bodies' keys").choices([...casings, 'mixed']).default('kebab'))
    .addOption(
      new Option('--rotate [how]', 'sign with two secrets: both at once, or one and from halfway on the other')
        .choices(rotations)
        .default('none')
        .preset('both'),
    )
    .addOption(new Option('--concurrency <n>', 'requests at once').default(32).argParser(wholeNumber(1, 10_000)))
    .addOption(new Option('--duration <seconds>', 'begin no delivery after this').argParser(number(0.001)))
    .addOption(new Option('--seed <text>', 'the same seed gives the same inquiries'))
    .addOption(
      new Option('--compress-time <factor>', "divide the waits of the provider's retries (51 hours in all)")
        .default(1)
        .argParser(number(0.001)),
    )
    .addOption(jsonOption())
    .action(async (options: Options, command: Command) => await run(deps, options, command))
}
