import type { Casing } from './casing.ts'
import type { Shuffle } from './delivery-plan.ts'
import type { Scenario } from './scenario.ts'

/** `none`: the first secret signs; `both`: two groups; `switch`: the first secret, from halfway on the second. */
export const rotations = ['none', 'both', 'switch'] as const
export type Rotation = (typeof rotations)[number]

export type SimulationProgress = {
  readonly plannedDeliveries: number
  readonly begunDeliveries: number
  readonly acknowledgedEvents: number
  readonly retriesWaiting: number
  readonly gaveUpEvents: number
}

/** An attempt that was not acknowledged: a status, `timeout` or the code of a connection error, and the answer's own code. */
export type Refusal = { readonly answer: number | string; readonly code: string | null }

export type SimulationOptions = {
  readonly url: string
  /** One, or two where the rotation needs them. */
  readonly secrets: readonly string[]
  readonly inquiries: number
  /** Taken in turn; default: all. */
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
  /** The end of the events' past, in ms since 1970; default: now. */
  readonly nowMs?: number | undefined
  /** Called a few times a second, and at the end. */
  readonly onProgress?: ((progress: SimulationProgress) => void) | undefined
  /** Called for each attempt that is not acknowledged. */
  readonly onRefusal?: ((refusal: Refusal) => void) | undefined
  /**
   * While nothing at all was acknowledged, the longest wait for a retry, in ms; a longer one ends the simulation.
   * Default: none, the whole schedule of the provider is waited for.
   */
  readonly longestVainWaitMs?: number | undefined
  /** Ends the simulation early; the report tells what was done. */
  readonly signal?: AbortSignal | undefined
}

/** Throws RangeError for options that make no sense. */
export function checkOptions(options: SimulationOptions): void {
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

/** The secrets that sign a delivery now. */
export function secretsNow(options: SimulationOptions, isSecondHalf: boolean): readonly string[] {
  if (options.rotation === 'both') return options.secrets.slice(0, 2)
  return options.secrets.slice(...(options.rotation === 'switch' && isSecondHalf ? [1, 2] : [0, 1]))
}
