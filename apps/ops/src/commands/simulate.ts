import type { Command } from 'commander'
import { printJson } from '../output/print.ts'
import { statusLine } from '../output/progress.ts'
import {
  failOnUnacknowledged,
  printSimulation,
  refusalNotes,
  simulationDocument,
  simulationProgress,
} from '../reports/simulation.ts'
import { CommandFailure } from '../runner/command-failure.ts'
import type { OpsDeps } from '../runner/ops-deps.ts'
import { untilInterrupted } from '../runner/run-command.ts'
import { addSimulationOptions, type SimulateOptions } from '../runner/simulation-options.ts'

/** The first retry comes after 3 s, the second after 64 s more: a wrong secret still fails then. */
const LONGEST_WAIT_WITHOUT_SUCCESS_MS = 10_000

function secretsFor(deps: OpsDeps, { secret, rotate }: SimulateOptions, command: Command): readonly string[] {
  const secrets = secret ?? deps.readEnv(['PERSONA_WEBHOOK_SECRETS']).PERSONA_WEBHOOK_SECRETS
  if (secrets.length === 0) throw new CommandFailure('no secret to sign with: give --secret or PERSONA_WEBHOOK_SECRETS')
  if (rotate !== 'none' && secrets.length < 2) command.error('error: --rotate needs two secrets', { exitCode: 2 })
  return secrets
}

async function run(deps: OpsDeps, options: SimulateOptions, secrets: readonly string[]): Promise<void> {
  const line = statusLine(deps.output)
  const say = (text: string) => {
    line.clear()
    deps.output.note(text)
  }
  const { report, isInterrupted } = await untilInterrupted(async (signal) => {
    const simulated = await deps.simulate({
      ...options,
      secrets,
      ratePerSecond: options.rate,
      rotation: options.rotate,
      durationSeconds: options.duration,
      timeCompression: options.compressTime,
      longestWaitWithoutSuccessMs: LONGEST_WAIT_WITHOUT_SUCCESS_MS,
      signal,
      onRefusal: refusalNotes(options.url, say),
      onProgress: (progress) => line.show(simulationProgress(progress)),
    })
    return { report: simulated, isInterrupted: signal.aborted }
  })
  line.clear()
  if (options.json) printJson(deps.output, simulationDocument(report))
  else printSimulation(deps.output, report)
  failOnUnacknowledged(report, isInterrupted)
}

/** `simulate`: sends signed flows of events to an ingress, as the provider does. */
export function addSimulate(program: Command, deps: OpsDeps): void {
  const command = program.command('simulate').description('send signed flows of events to an ingress, as Persona would')
  addSimulationOptions(command).action(async (options: SimulateOptions, command: Command) => {
    await run(deps, options, secretsFor(deps, options, command))
  })
}
