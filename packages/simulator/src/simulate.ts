import { setMaxListeners } from 'node:events'
import { Agent } from 'undici'
import { AttemptSource, type Attempt } from './attempt-source.ts'
import { planDeliveries } from './delivery-plan.ts'
import { sendDelivery } from './delivery.ts'
import { eventFactory } from './event-factory.ts'
import { Random } from './random.ts'
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
  const signal = options.signal ?? new AbortController().signal
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
  }
}

async function deliver({ options, plan, source, eventOf, tally, signal }: Simulation, attempt: Attempt, agent: Agent) {
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
  tally.count(event.id, attempt.attempt, result)
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
  return simulation.tally.report()
}
