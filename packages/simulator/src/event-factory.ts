import type { Casing } from './casing.ts'
import { placeOf, scenarioOf } from './delivery-plan.ts'
import { buildLifecycle } from './lifecycle.ts'
import type { SimulatedEvent } from './live-inquiry.ts'
import { Random } from './random.ts'
import { LONGEST_LIFECYCLE_MS, type Scenario } from './scenario.ts'

/** Lifecycles kept, since an inquiry's events often follow each other; a full shuffle builds them anew. */
const CACHED_LIFECYCLES = 200

export type EventFactoryOptions = {
  readonly seed: string
  readonly scenarios: readonly Scenario[]
  readonly casing: Casing | 'mixed'
  /** All events are older than this, by ten hours at most. */
  readonly nowMs: number
}

/** Makes the function that gives the event of a plan's number; always the same event for the same number. */
export function eventFactory(options: EventFactoryOptions): (planned: number) => SimulatedEvent {
  const cache = new Map<number, readonly SimulatedEvent[]>()
  const lifecycleOf = (inquiry: number) => {
    const seed = `${options.seed}/${inquiry}`
    const headStartMs = new Random(`${seed}/start`).integer(0, LONGEST_LIFECYCLE_MS)
    return buildLifecycle({
      seed,
      scenario: scenarioOf(options.scenarios, inquiry),
      startAtMs: options.nowMs - LONGEST_LIFECYCLE_MS - headStartMs,
      casing: options.casing,
    })
  }
  return (planned) => {
    const { inquiry, index } = placeOf(planned)
    const lifecycle = cache.get(inquiry) ?? lifecycleOf(inquiry)
    cache.set(inquiry, lifecycle)
    const [oldest] = cache.keys()
    if (cache.size > CACHED_LIFECYCLES && oldest !== undefined) cache.delete(oldest)
    const event = lifecycle[index]
    if (event === undefined) throw new RangeError(`Expected an event of the plan, got ${planned}`)
    return event
  }
}
