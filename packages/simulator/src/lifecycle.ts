import { casings, type Casing } from './casing.ts'
import { LiveInquiry, type SimulatedEvent } from './live-inquiry.ts'
import { Random } from './random.ts'
import { scenarioSteps, type Scenario } from './scenario.ts'

export type LifecycleOptions = {
  readonly scenario: Scenario
  /** Decides every id and value: the same options give the same bytes. */
  readonly seed: string
  /** Time of the first event, in ms since 1970. */
  readonly startAtMs: number
  /** Casing of the keys; `mixed` draws one for each event. Default `kebab`. */
  readonly casing?: Casing | 'mixed' | undefined
  /** Whether `included` is filled, or empty as with webhooks made after 2026-01-28. Default: drawn, mostly filled. */
  readonly isIncluding?: boolean | undefined
  /** Default: drawn from the seed. */
  readonly inquiryId?: string | undefined
  /** Default: drawn from the seed; give one to let several inquiries share an account. */
  readonly accountId?: string | undefined
  /** Default: drawn from the seed. */
  readonly referenceId?: string | null | undefined
}

/**
 * Builds all events of one inquiry in the order in which they happened.
 *
 * Their `created-at` rise, in ms; some are equal on purpose. The people are invented.
 *
 * @see https://docs.withpersona.com/model-lifecycle
 */
export function buildLifecycle(options: LifecycleOptions): readonly SimulatedEvent[] {
  const random = new Random(options.seed)
  // Drawn from a stream of its own: the casing must not change the ids.
  const casingRandom = new Random(`${options.seed}/casing`)
  const { casing = 'kebab' } = options
  const isIncluding = random.chance(0.7)
  const isTopLevel = random.chance(0.3)
  const inquiry = new LiveInquiry({
    ...options,
    random,
    isTopLevel,
    isIncluding: options.isIncluding ?? isIncluding,
    casingOf: () => (casing === 'mixed' ? casingRandom.pick(casings) : casing),
  })
  for (const step of scenarioSteps[options.scenario]) step(inquiry)
  return inquiry.events
}
