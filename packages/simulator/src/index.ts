export { casings, type Casing } from './casing.ts'
export { sendDelivery, type DeliveryRequest, type DeliveryResult } from './delivery.ts'
export { shuffles, type Shuffle } from './delivery-plan.ts'
export { type Json } from './json-api.ts'
export { type SimulatedEvent } from './live-inquiry.ts'
export { buildLifecycle, type LifecycleOptions } from './lifecycle.ts'
export { retryWaitMs } from './retry-schedule.ts'
export { LONGEST_LIFECYCLE_MS, scenarios, type Scenario } from './scenario.ts'
export { simulate } from './simulate.ts'
export {
  rotations,
  type Rotation,
  type SimulationOptions,
  type Refusal,
  type SimulationProgress,
} from './simulation-options.ts'
export { type SimulationReport } from './simulation-report.ts'
