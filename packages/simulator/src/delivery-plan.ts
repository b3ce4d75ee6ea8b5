import { Random } from './random.ts'
import { buildLifecycle, LONGEST_LIFECYCLE_MS, type Scenario, scenarioSteps } from './lifecycle.ts'
import type { Casing } from './json-api.ts'

import type { SimulatedEvent } from './live-inquiry.ts'

/** The scope in which deliveries are shuffled: none, each inquiry, or all deliveries. */
export const shuffles = ['none', 'inquiry', 'full'] as const
export type Shuffle = (typeof shuffles)[number]

/** The place of an event: the number of its inquiry, and its index among that inquiry's events. */
export type EventPlace = { readonly inquiry: number; readonly index: number }

/** Greater than the number of events in any scenario. */
const PLACES_PER_INQUIRY = 16
/** The greatest distance in deliveries between an event and its duplicate, unless all are shuffled. */
const DUPLICATE_DISTANCE = 200

/** Returns the scenario of an inquiry; the scenarios take turns. */
function scenarioOf(scenarios: readonly Scenario[], inquiry: number): Scenario {
  return scenarios[inquiry % scenarios.length] ?? 'approved'
}

function shuffleRange(places: Uint32Array, from: number, to: number, random: Random): void {
  for (let index = to - 1; index > from; index -= 1) {
    const other = random.integer(from, index)
    const kept = places[index] ?? 0
    places[index] = places[other] ?? 0
    places[other] = kept
  }
}

function inOrder(options: { inquiries: number; scenarios: readonly Scenario[]; shuffle: Shuffle; random: Random }) {
  const lengths = Array.from(
    { length: options.inquiries },
    (_, inquiry) => scenarioSteps[scenarioOf(options.scenarios, inquiry)].length,
  )
  const places = new Uint32Array(lengths.reduce((sum, length) => sum + length, 0))
  let end = 0
  for (const [inquiry, length] of lengths.entries()) {
    const start = end
    for (let index = 0; index < length; index += 1) places[end++] = inquiry * PLACES_PER_INQUIRY + index
    if (options.shuffle === 'inquiry') shuffleRange(places, start, end, options.random)
  }
  return places
}

function withDuplicates(places: Uint32Array, duplicates: number, random: Random): Uint32Array {
  const count = Math.round(places.length * duplicates)
  const entries = Array.from(places, (place, position) => ({ place, position }))
  for (let duplicate = 0; duplicate < count; duplicate += 1) {
    const original = random.integer(0, places.length - 1)
    const position = original + random.integer(1, DUPLICATE_DISTANCE) + 0.5
    entries.push({ place: places[original] ?? 0, position })
  }
  entries.sort((left, right) => left.position - right.position)
  return Uint32Array.from(entries, ({ place }) => place)
}

/**
 * Returns the order of deliveries: each event once, and a share `duplicates` (0.1 = a tenth) of them again. The plan has
 * four bytes a delivery, so that a long simulation can be shuffled as a whole.
 */
export function planDeliveries(options: {
  inquiries: number
  scenarios: readonly Scenario[]
  duplicates: number
  shuffle: Shuffle
  random: Random
}): Uint32Array {
  const places = withDuplicates(inOrder(options), options.duplicates, options.random)
  if (options.shuffle === 'full') shuffleRange(places, 0, places.length, options.random)
  return places
}

/** Returns the place of the event that a number of a plan stands for. */
export function placeOf(planned: number): EventPlace {
  return { inquiry: Math.floor(planned / PLACES_PER_INQUIRY), index: planned % PLACES_PER_INQUIRY }
}

/** Cached lifecycles: an inquiry's events often follow each other. A full shuffle builds most of them again. */
const CACHED_LIFECYCLES = 200

type EventFactoryOptions = {
  readonly seed: string
  readonly scenarios: readonly Scenario[]
  readonly casing: Casing | 'mixed'
  /** All events are older than this time, by ten hours at most. */
  readonly nowMs: number
}

/** Returns a function that builds the event of a plan's number; equal numbers give equal events. */
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
