import { setMaxListeners } from 'node:events'
import { Agent } from 'undici'
import { AttemptSource, retryWaitMs, sendDelivery, type Attempt } from './delivery.ts'
import { eventFactory, planDeliveries, type Shuffle } from './delivery-plan.ts'
import type { Casing } from './json-api.ts'
import { scenarios as allScenarios, type Scenario } from './lifecycle.ts'
import { Random } from './random.ts'

import { SimulationTally, type SimulationReport } from './simulation-report.ts'

/** `none`: the first secret signs; `both`: both sign; `switch`: the first secret, in the second half the second. */
export const rotations = ['none', 'both', 'switch'] as const
export type Rotation = (typeof rotations)[number]

export type SimulationProgress = {
  readonly plannedDeliveries: number
  readonly begunDeliveries: number
  readonly acknowledgedEvents: number
  readonly retriesWaiting: number
  readonly gaveUpEvents: number
}

/** The answer to a refused attempt: a status, `timeout` or the code of a connection error, and the error document's code. */
export type Refusal = { readonly answer: number | string; readonly code: string | null }

export type SimulationOptions = {
  readonly url: string
  /** One secret, or two where the rotation needs them. */
  readonly secrets: readonly string[]
  readonly inquiries: number
  /** Scenarios in turn; default: all. */
  readonly scenarios?: readonly Scenario[] | undefined
  /** New deliveries a second; default: as fast as `concurrency` allows. */
  readonly ratePerSecond?: number | undefined
  /** Share of events delivered again, 0 to 1 or more; default 0. */
  readonly duplicates?: number | undefined
  /** Default `none`. */
  readonly shuffle?: Shuffle | undefined
  /** Default `kebab`. */
  readonly casing?: Casing | 'mixed' | undefined
  /** Default `none`. */
  readonly rotation?: Rotation | undefined
  /** Requests at once; default 32. */
  readonly concurrency?: number | undefined
  /** Divides the waits of the provider's retry schedule; default 1 (51 hours until it gives up). */
  readonly timeCompression?: number | undefined
  /** The same seed and `nowMs` give the same events; default `simulation`. */
  readonly seed?: string | undefined
  /** Begins no delivery after so many seconds; default: begins all. */
  readonly durationSeconds?: number | undefined
  /** The time before which all events lie, in ms since 1970; default: now. */
  readonly nowMs?: number | undefined
  /** Called a few times a second, and at the end. */
  readonly onProgress?: ((progress: SimulationProgress) => void) | undefined
  /** Called for each attempt that is not acknowledged. */
  readonly onRefusal?: ((refusal: Refusal) => void) | undefined
  /**
   * The longest wait for a retry, in ms, while nothing was acknowledged; a longer one ends the simulation.
   * Default: no limit.
   */
  readonly longestWaitWithoutSuccessMs?: number | undefined
  /** Ends the simulation early; the report covers what was sent. */
  readonly signal?: AbortSignal | undefined
}

/** Throws `RangeError` for invalid options. */
function checkOptions(options: SimulationOptions): void {
  const needed = (options.rotation ?? 'none') === 'none' ? 1 : 2
  if (options.secrets.length < needed) throw new RangeError(`Expected ${needed} secrets, got ${options.secrets.length}`)
  if (!Number.isInteger(options.inquiries) || options.inquiries < 1) {
    throw new RangeError('Expected inquiries to be a whole number of 1 or more')
  }
  for (const name of ['ratePerSecond', 'concurrency', 'timeCompression', 'durationSeconds'] as const) {
    if (!((options[name] ?? 1) > 0)) throw new RangeError(`Expected ${name} to be greater than 0`)
  }
  if (!((options.duplicates ?? 0) >= 0)) throw new RangeError('Expected duplicates to be 0 or greater')
}

/** Returns the secrets that sign a delivery. */
function secretsNow(options: SimulationOptions, isSecondHalf: boolean): readonly string[] {
  if (options.rotation === 'both') return options.secrets.slice(0, 2)
  return options.secrets.slice(...(options.rotation === 'switch' && isSecondHalf ? [1, 2] : [0, 1]))
}

const PROGRESS_EVERY_MS = 250

/** The state of a simulation that runs. */
type Simulation = {
  readonly options: SimulationOptions
  readonly plan: Uint32Array
  readonly source: AttemptSource
  readonly eventOf: ReturnType<typeof eventFactory>
  readonly tally: SimulationTally
  readonly concurrency: number
  readonly signal: AbortSignal
  /** Ends the simulation where nothing was acknowledged. */
  readonly noSuccess: AbortController
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
  const noSuccess = new AbortController()
  const signals = options.signal === undefined ? [noSuccess.signal] : [options.signal, noSuccess.signal]
  const signal = AbortSignal.any(signals)
  // Each request in flight listens to it.
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
    noSuccess,
  }
}

/** Returns the code of an error document of the ingress; null for any other answer. */
function codeOf(text: string): string | null {
  return /^\{"errors":\[\{[^{}]*"code":"([A-Z_]{1,64})"/.exec(text)?.[1] ?? null
}

/** Tells whether the next attempt is too far away while nothing was acknowledged. */
function isWaitTooLong({ options, tally }: Simulation, attempt: Attempt): boolean {
  const waitMs = retryWaitMs(attempt.attempt)
  if (waitMs === null || tally.acknowledgedEvents > 0) return false
  return waitMs / (options.timeCompression ?? 1) > (options.longestWaitWithoutSuccessMs ?? Infinity)
}

async function deliver(simulation: Simulation, attempt: Attempt, agent: Agent) {
  const { options, plan, source, eventOf, tally, signal, noSuccess } = simulation
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
  // The simulation itself cut this request: it says nothing about the receiver.
  if (noSuccess.signal.aborted && !result.isAcknowledged) return void source.finish(attempt, false)
  tally.count(event.id, attempt.attempt, result)
  if (!result.isAcknowledged && !signal.aborted) {
    options.onRefusal?.({ answer: result.answer, code: codeOf(result.text) })
    if (isWaitTooLong(simulation, attempt)) noSuccess.abort()
  }
  if (source.finish(attempt, result.isAcknowledged)) tally.giveUp(event.id)
}

function reportProgress({ options, plan, source, tally }: Simulation): void {
  options.onProgress?.({
    plannedDeliveries: plan.length,
    begunDeliveries: source.begun,
    acknowledgedEvents: tally.acknowledgedEvents,
    retriesWaiting: source.retriesWaiting,
    gaveUpEvents: tally.gaveUpEvents,
  })
}

/**
 * Simulates the provider: builds the events of many inquiries, signs and delivers them, and retries refused ones.
 *
 * Bodies are built when they are sent, so that memory grows by a few hundred bytes a delivery. Resolves when each
 * delivery is acknowledged or given up, or after `signal`. Rejects with `RangeError` for invalid options.
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
  const progress = setInterval(() => reportProgress(simulation), PROGRESS_EVERY_MS)
  try {
    await Promise.all(Array.from({ length: concurrency }, sender))
  } finally {
    clearInterval(progress)
    await agent.destroy()
  }
  reportProgress(simulation)
  const report = simulation.tally.report()
  return simulation.noSuccess.signal.aborted ? { ...report, endedWithoutSuccess: true } : report
}
