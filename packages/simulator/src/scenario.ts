import type { LiveInquiry } from './live-inquiry.ts'

/** One step is one event. */
type Step = (inquiry: LiveInquiry) => void

const create: Step = (inquiry) => inquiry.create()
const start: Step = (inquiry) => inquiry.rest(5000, 60_000).start()
const transition: Step = (inquiry) => inquiry.rest(1000, 9000).transition()
const passGovernmentId: Step = (inquiry) => inquiry.rest(9000, 90_000).verify('government-id', 'passed')
const failGovernmentId: Step = (inquiry) => inquiry.rest(9000, 90_000).verify('government-id', 'failed')
const passSelfie: Step = (inquiry) => inquiry.rest(5000, 50_000).verify('selfie', 'passed')
const failSelfie: Step = (inquiry) => inquiry.rest(5000, 50_000).verify('selfie', 'failed')
// The provider's workflows are quick: steps within one millisecond happen, and here often, on purpose.
const complete: Step = (inquiry) => inquiry.rest(0, 2).complete()
const approveAtOnce: Step = (inquiry) => inquiry.rest(0, 2).decide('approved')
const markForReview: Step = (inquiry) => inquiry.rest(0, 2).markForReview()
const approve: Step = (inquiry) => inquiry.rest(60_000, 600_000).decide('approved')
const decline: Step = (inquiry) => inquiry.rest(60_000, 600_000).decide('declined')
const expire: Step = (inquiry) => inquiry.rest(3_600_000, 7_200_000).expire()
const resume: Step = (inquiry) => inquiry.rest(60_000, 3_600_000).resume()
const redact: Step = (inquiry) => inquiry.rest(60_000, 3_600_000).redact()

/** What may become of an inquiry, event by event. */
export const scenarioSteps = {
  approved: [create, start, passGovernmentId, passSelfie, complete, approveAtOnce],
  declined: [create, start, passGovernmentId, failSelfie, complete, markForReview, decline],
  resubmitted: [create, start, failGovernmentId, transition, passGovernmentId, passSelfie, complete, approveAtOnce],
  'expired-resumed': [create, start, expire, resume, passGovernmentId, passSelfie, complete, approveAtOnce],
  're-decided': [create, start, passGovernmentId, passSelfie, complete, decline, approve],
  redacted: [create, start, passGovernmentId, passSelfie, complete, approveAtOnce, redact],
} satisfies Record<string, readonly Step[]>

export type Scenario = keyof typeof scenarioSteps

/** Every scenario by name. */
export const scenarios = Object.keys(scenarioSteps) as readonly Scenario[]

/** No scenario takes longer than this from its first event to its last. */
export const LONGEST_LIFECYCLE_MS = 5 * 3_600_000
