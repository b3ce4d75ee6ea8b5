import type { Random } from './random.ts'
import { scenarioSteps, type Scenario } from './scenario.ts'

/** How far deliveries leave the order of their events: not at all, within each inquiry, or over everything. */
export const shuffles = ['none', 'inquiry', 'full'] as const
export type Shuffle = (typeof shuffles)[number]

/** Where an event stands: the number of its inquiry, and its place among that inquiry's events. */
export type EventPlace = { readonly inquiry: number; readonly index: number }

/** No scenario has more events than this. */
const PLACES_PER_INQUIRY = 16
/** A duplicate comes at most this many deliveries after its first, unless everything is shuffled. */
const DUPLICATE_DISTANCE = 200

/** The scenario of an inquiry: all in turn. */
export function scenarioOf(scenarios: readonly Scenario[], inquiry: number): Scenario {
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
 * Decides what is delivered when: every event once, and a share `duplicates` (0.1 = a tenth) of them again.
 *
 * Holds four bytes a delivery, so that a full shuffle is one over everything, however long the simulation.
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

/** What one number of a plan stands for. */
export function placeOf(planned: number): EventPlace {
  return { inquiry: Math.floor(planned / PLACES_PER_INQUIRY), index: planned % PLACES_PER_INQUIRY }
}
