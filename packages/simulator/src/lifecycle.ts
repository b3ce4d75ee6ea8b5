import { casings, type Casing } from './json-api.ts'
import { LiveInquiry, type SimulatedEvent } from './live-inquiry.ts'
import { Random } from './random.ts'

/** A step makes one event. */
type Step = (inquiry: LiveInquiry) => void

const create: Step = (inquiry) => inquiry.create()
const start: Step = (inquiry) => inquiry.rest(5000, 60_000).start()
const transition: Step = (inquiry) => inquiry.rest(1000, 9000).transition()
const passGovernmentId: Step = (inquiry) => inquiry.rest(9000, 90_000).verify('government-id', 'passed')
const failGovernmentId: Step = (inquiry) => inquiry.rest(9000, 90_000).verify('government-id', 'failed')
const passSelfie: Step = (inquiry) => inquiry.rest(5000, 50_000).verify('selfie', 'passed')
const failSelfie: Step = (inquiry) => inquiry.rest(5000, 50_000).verify('selfie', 'failed')
// The provider's workflows are fast: equal milliseconds happen there, and here often, to test the order of ties.
const complete: Step = (inquiry) => inquiry.rest(0, 2).complete()
const approveAtOnce: Step = (inquiry) => inquiry.rest(0, 2).decide('approved')
const markForReview: Step = (inquiry) => inquiry.rest(0, 2).markForReview()
const approve: Step = (inquiry) => inquiry.rest(60_000, 600_000).decide('approved')
const decline: Step = (inquiry) => inquiry.rest(60_000, 600_000).decide('declined')
const expire: Step = (inquiry) => inquiry.rest(3_600_000, 7_200_000).expire()
const resume: Step = (inquiry) => inquiry.rest(60_000, 3_600_000).resume()
const redact: Step = (inquiry) => inquiry.rest(60_000, 3_600_000).redact()

/** The steps of each scenario. */
export const scenarioSteps = {
  approved: [create, start, passGovernmentId, passSelfie, complete, approveAtOnce],
  declined: [create, start, passGovernmentId, failSelfie, complete, markForReview, decline],
  resubmitted: [create, start, failGovernmentId, transition, passGovernmentId, passSelfie, complete, approveAtOnce],
  'expired-resumed': [create, start, expire, resume, passGovernmentId, passSelfie, complete, approveAtOnce],
  're-decided': [create, start, passGovernmentId, passSelfie, complete, decline, approve],
  redacted: [create, start, passGovernmentId, passSelfie, complete, approveAtOnce, redact],
} satisfies Record<string, readonly Step[]>

export type Scenario = keyof typeof scenarioSteps

/** Lists the names of the scenarios. */
export const scenarios = Object.keys(scenarioSteps) as readonly Scenario[]

/** The longest time in ms between the first and the last event of a scenario. */
export const LONGEST_LIFECYCLE_MS = 5 * 3_600_000

export type LifecycleOptions = {
  readonly scenario: Scenario
  /** Determines all ids and values: equal options give equal bytes. */
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
 * Builds all events of one inquiry in the order in which they happened. Their `created-at` (ms) rises or is equal. All
 * personal data is invented.
 *
 * @see https://docs.withpersona.com/model-lifecycle
 */
export function buildLifecycle(options: LifecycleOptions): readonly SimulatedEvent[] {
  const random = new Random(options.seed)
  // A separate stream: the casing must not change the ids.
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
