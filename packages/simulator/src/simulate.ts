import { setMaxListeners } from 'node:events'
import { Agent } from 'undici'
import { AttemptSource, type Attempt } from './attempt-source.ts'
import { planDeliveries } from './delivery-plan.ts'
import { sendDelivery } from './delivery.ts'
import { eventFactory } from './event-factory.ts'
import { Random } from './random.ts'
import { retryWaitMs } from './retry-schedule.ts'
import { scenarios as allScenarios } from './scenario.ts'
import { checkOptions, secretsNow, type SimulationOptions } from './simulation-options.ts'
import { SimulationTally, type SimulationReport } from './simulation-report.ts'

const PROGRESS_EVERY_MS = 250

/** Who makes the deliveries, when, and what came of them. */
type Simulation = {
  readonly options: SimulationOptions
  readonly plan: Uint32Array
  readonly source: AttemptSource
  readonly eventOf: ReturnType<typeof eventFactory>
  readonly tally: SimulationTally
  readonly concurrency: number
  readonly signal: AbortSignal
  /** Ends it because nothing was acknowledged. */
  readonly vain: AbortController
}

function prepare(options: SimulationOptions): Simulation {
  const { seed = 'simulation', scenarios = allScenarios } = options
  const plan = planDeliveries({
    inquiries: options.inquiries,
    scenarios,
    duplicates: options.duplicates ?? 0,
    shuffle: options.shuffle ?? 'none',
    random: new Random(`${seed}/plan`),
  })
  const eventOf = eventFactory({
    seed,
    scenarios,
    casing: options.casing ?? 'kebab',
    nowMs: options.nowMs ?? Date.now(),
  })
  const vain = new AbortController()
  const signal = options.signal === undefined ? vain.signal : AbortSignal.any([options.signal, vain.signal])
  // Each request under way listens to it.
  setMaxListeners(0, signal)
  const source = new AttemptSource({
    plan,
    signal,
    ratePerSecond: options.ratePerSecond,
    durationMs: (options.durationSeconds ?? Infinity) * 1000,
    timeCompression: options.timeCompression ?? 1,
  })
  return {
    options,
    plan,
    source,
    eventOf,
    tally: new SimulationTally(),
    concurrency: options.concurrency ?? 32,
    signal,
    vain,
  }
}

/** The code of an error document, in our form; null for whatever else somebody answers. */
function codeOf(text: string): string | null {
  return /^\{"errors":\[\{[^{}]*"code":"([A-Z_]{1,64})"/.exec(text)?.[1] ?? null
}

/** Whether the next attempt is too far away while nothing was acknowledged. */
function isInVain({ options, tally }: Simulation, attempt: Attempt): boolean {
  const waitMs = retryWaitMs(attempt.attempt)
  if (waitMs === null || tally.acknowledgedEvents > 0) return false
  return waitMs / (options.timeCompression ?? 1) > (options.longestVainWaitMs ?? Infinity)
}

async function deliver(simulation: Simulation, attempt: Attempt, agent: Agent) {
  const { options, plan, source, eventOf, tally, signal, vain } = simulation
  const event = eventOf(attempt.planned)
  const result = await sendDelivery({
    url: options.url,
    body: Buffer.from(JSON.stringify(event.document)),
    secrets: secretsNow(options, source.begun > plan.length / 2),
    nowMs: Date.now(),
    attempt: attempt.attempt,
    firstAttemptedAtMs: attempt.firstAttemptedAtMs,
    dispatcher: agent,
    signal,
  })
  // A request that we cut ourselves tells nothing of the receiver.
  if (vain.signal.aborted && !result.isAcknowledged) return void source.settle(attempt, false)
  tally.count(event.id, attempt.attempt, result)
  if (!result.isAcknowledged && !signal.aborted) {
    options.onRefusal?.({ answer: result.answer, code: codeOf(result.text) })
    if (isInVain(simulation, attempt)) vain.abort()
  }
  if (source.settle(attempt, result.isAcknowledged)) tally.giveUp(event.id)
}

function tellProgress({ options, plan, source, tally }: Simulation): void {
  options.onProgress?.({
    plannedDeliveries: plan.length,
    begunDeliveries: source.begun,
    acknowledgedEvents: tally.acknowledgedEvents,
    retriesWaiting: source.retriesWaiting,
    gaveUpEvents: tally.gaveUpEvents,
  })
}

/**
 * Plays the provider: builds the events of many inquiries, signs them, delivers them, and retries what is refused.
 *
 * Bodies are made when they are sent, so that memory grows by a few hundred bytes a delivery only. Resolves when every
 * delivery is acknowledged or given up, or after `signal`. Rejects with `RangeError` for options that make no sense.
 *
 * @see https://docs.withpersona.com/webhooks
 */
export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  checkOptions(options)
  const simulation = prepare(options)
  const { source, concurrency } = simulation
  const agent = new Agent({ connections: concurrency, connect: { timeout: 5000 } })
  const sender = async () => {
    for (let attempt = await source.next(); attempt !== null; attempt = await source.next()) {
      await deliver(simulation, attempt, agent)
    }
  }
  const progress = setInterval(() => tellProgress(simulation), PROGRESS_EVERY_MS)
  try {
    await Promise.all(Array.from({ length: concurrency }, sender))
  } finally {
    clearInterval(progress)
    await agent.destroy()
  }
  tellProgress(simulation)
  const report = simulation.tally.report()
  return simulation.vain.signal.aborted ? { ...report, endedInVain: true } : report
}
