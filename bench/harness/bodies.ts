import { buildLifecycle, scenarios, type SimulatedEvent } from '@persona-ingest/simulator'

/** Which events a load is made of. The same options give the same bytes, in any process. */
export type BodyOptions = {
  readonly seed: string
  readonly count: number
  /** `live`: events in their order over a hundred inquiries at once; `shuffled`: in no order at all. */
  readonly order: 'live' | 'shuffled'
  /** Share of deliveries that bring an event again. */
  readonly duplicates?: number
  /** All events are about one inquiry. */
  readonly isHot?: boolean
  /** One inquiry in so many is redacted; default none. */
  readonly redactedEvery?: number
  /** Time of the first events, in ms since 1970. */
  readonly startAtMs: number
}

export type Body = { readonly eventId: string; readonly bytes: Buffer }

/** Inquiries that are under way at once. */
const LIVE = 100
/** Redactions have a question of their own. */
const USUAL = scenarios.filter((scenario) => scenario !== 'redacted')
/** Two webhooks in five fill `included`; bodies are 3.9 KB on average then. */
const isIncluding = (inquiry: number): boolean => inquiry % 5 < 2

/** A small generator of numbers (mulberry32), so that a load is the same in every round. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

function lifecycleOf(options: BodyOptions, inquiry: number): readonly SimulatedEvent[] {
  const isRedacted = options.redactedEvery !== undefined && inquiry % options.redactedEvery === 0
  return buildLifecycle({
    scenario: isRedacted ? 'redacted' : (USUAL[inquiry % USUAL.length] ?? 'approved'),
    seed: `${options.seed}/${inquiry}`,
    startAtMs: options.startAtMs + inquiry * 10,
    isIncluding: isIncluding(inquiry),
    ...(options.isHot ? { inquiryId: `inq_${options.seed}` } : {}),
  })
}

/** Deals the events of many lifecycles in turn, as they come from many people at once. */
function* liveEvents(options: BodyOptions): Generator<SimulatedEvent> {
  const live: { events: readonly SimulatedEvent[]; next: number }[] = []
  for (let inquiry = 0; ;) {
    while (live.length < LIVE) live.push({ events: lifecycleOf(options, inquiry++), next: 0 })
    for (const entry of live) yield entry.events[entry.next++] as SimulatedEvent
    for (let place = live.length - 1; place >= 0; place -= 1) {
      const entry = live[place]
      if (entry !== undefined && entry.next >= entry.events.length) live.splice(place, 1)
    }
  }
}

function shuffle(items: Body[], random: () => number): void {
  for (let index = items.length - 1; index > 0; index -= 1) {
    const other = Math.floor(random() * (index + 1))
    const kept = items[index] as Body
    items[index] = items[other] as Body
    items[other] = kept
  }
}

/** Builds the bodies of a load. */
export function buildBodies(options: BodyOptions): readonly Body[] {
  const random = randomFrom(7)
  const bodies: Body[] = []
  const events = liveEvents(options)
  while (bodies.length < options.count) {
    const earlier = bodies[Math.floor(random() * bodies.length)]
    if (earlier !== undefined && random() < (options.duplicates ?? 0)) {
      bodies.push(earlier)
      continue
    }
    const event = events.next().value as SimulatedEvent
    bodies.push({ eventId: event.id, bytes: Buffer.from(JSON.stringify(event.document)) })
  }
  if (options.order === 'shuffled') shuffle(bodies, random)
  return bodies
}
