import { readEnvelope } from '@persona-ingest/persona'
import t from 'tap'
import { buildLifecycle, LONGEST_LIFECYCLE_MS, scenarios, type Scenario, type SimulatedEvent } from '../../src/index.ts'

const START_MS = Date.UTC(2026, 1, 3, 10)

type Primary = { type: string; id: string; attributes: Record<string, unknown>; relationships: Record<string, unknown> }
type Document = {
  data: { id: string; attributes: Record<string, unknown> & { payload: { data: Primary; included: Primary[] } } }
}

const documentOf = (event: SimulatedEvent) => event.document as unknown as Document
const primaryOf = (event: SimulatedEvent) => documentOf(event).data.attributes.payload.data
const textOf = (events: readonly SimulatedEvent[]) => JSON.stringify(events.map(({ document }) => document))

function lifecycles(count: number, overrides: Partial<Parameters<typeof buildLifecycle>[0]> = {}) {
  return Array.from({ length: count }, (_, index) =>
    scenarios.map((scenario) =>
      buildLifecycle({ scenario, seed: `test/${index}`, startAtMs: START_MS, casing: 'mixed', ...overrides }),
    ),
  ).flat()
}

t.test('the same seed gives the same bytes, and the casing changes no id', async (t) => {
  for (const scenario of scenarios) {
    const build = (casing: 'kebab' | 'camel' | 'mixed', seed = 'x') =>
      buildLifecycle({ scenario, seed, startAtMs: START_MS, casing })
    t.equal(textOf(build('mixed')), textOf(build('mixed')))
    t.strictSame(
      build('camel').map(({ id, name, createdAtMs }) => ({ id, name, createdAtMs })),
      build('kebab').map(({ id, name, createdAtMs }) => ({ id, name, createdAtMs })),
    )
    t.not(textOf(build('kebab', 'y')), textOf(build('kebab')))
  }
})

t.test('every event is usable, and tells of itself what its document tells', async (t) => {
  const sizes: number[] = []
  for (const event of lifecycles(30).flat()) {
    const body = Buffer.from(JSON.stringify(event.document))
    sizes.push(body.length)
    const envelope = readEnvelope(body, START_MS + LONGEST_LIFECYCLE_MS)
    if (!envelope.ok) throw new Error(envelope.reason)
    t.strictSame([envelope.eventId, envelope.name, envelope.createdAtMs], [event.id, event.name, event.createdAtMs])
  }
  sizes.sort((left, right) => left - right)
  const median = sizes[sizes.length / 2] ?? 0
  t.ok(median > 3000 && median < 5000, `half of them are smaller than ${median} bytes`)
  t.ok((sizes.at(-1) ?? 0) < 32_768, `none is larger than ${sizes.at(-1)} bytes`)
})

t.test('times rise within a lifecycle, some of them are equal, and it ends in time', async (t) => {
  let ties = 0
  for (const events of lifecycles(40)) {
    t.equal(events[0]?.createdAtMs, START_MS)
    t.ok((events.at(-1)?.createdAtMs ?? Infinity) < START_MS + LONGEST_LIFECYCLE_MS)
    for (const [index, event] of events.entries()) {
      const before = events[index - 1]?.createdAtMs ?? 0
      t.ok(event.createdAtMs >= before)
      if (event.createdAtMs === before) ties += 1
    }
  }
  t.ok(ties > 20, `${ties} events share their millisecond with the one before`)
})

const expected: Record<Scenario, { last: string; status: string; events: number }> = {
  approved: { last: 'inquiry.approved', status: 'approved', events: 6 },
  declined: { last: 'inquiry.declined', status: 'declined', events: 7 },
  resubmitted: { last: 'inquiry.approved', status: 'approved', events: 8 },
  'expired-resumed': { last: 'inquiry.approved', status: 'approved', events: 8 },
  're-decided': { last: 'inquiry.approved', status: 'approved', events: 7 },
  redacted: { last: 'inquiry.redacted', status: 'approved', events: 7 },
}
for (const scenario of scenarios) {
  t.test(`${scenario}: it ends as its name says`, async (t) => {
    const events = buildLifecycle({ scenario, seed: 'end', startAtMs: START_MS })
    const last = events.at(-1)
    if (last === undefined) throw new Error('expected events')
    t.equal(events.length, expected[scenario].events)
    t.equal(events[0]?.name, 'inquiry.created')
    t.equal(last.name, expected[scenario].last)
    t.match(primaryOf(last), { type: 'inquiry', attributes: { status: expected[scenario].status } })
    t.ok(events.some(({ name }) => name.startsWith('verification.')))
    t.equal(new Set(events.map(({ id }) => id)).size, events.length)
    t.equal(new Set(events.map(({ inquiryId }) => inquiryId)).size, 1)
  })
}

t.test('a story has its turns', async (t) => {
  const names = (scenario: Scenario) =>
    buildLifecycle({ scenario, seed: 'x', startAtMs: START_MS }).map(({ name }) => name)
  t.ok(names('declined').includes('inquiry.marked-for-review'))
  t.ok(names('resubmitted').includes('verification.failed'))
  t.strictSame(names('expired-resumed').slice(2, 4), ['inquiry.expired', 'inquiry-session.started'])
  t.strictSame(names('re-decided').slice(-2), ['inquiry.declined', 'inquiry.approved'])
})

t.test('an event keeps the state of its moment', async (t) => {
  const events = buildLifecycle({ scenario: 'approved', seed: 'x', startAtMs: START_MS })
  t.strictSame(
    events.filter(({ name }) => name.startsWith('inquiry.')).map((event) => primaryOf(event).attributes['status']),
    ['created', 'pending', 'completed', 'approved'],
  )
})

t.test('keys have the casing asked for, but for the customer own fields', async (t) => {
  const last = (casing: 'kebab' | 'camel' | 'snake') => {
    const event = buildLifecycle({
      scenario: 'approved',
      seed: 'x',
      startAtMs: START_MS,
      casing,
      isIncluding: true,
    }).at(-1)
    if (event === undefined) throw new Error('expected events')
    return documentOf(event)
  }
  for (const [casing, createdAt, template, checkKey] of [
    ['kebab', 'created-at', 'inquiry-template', 'country-code'],
    ['camel', 'createdAt', 'inquiryTemplate', 'countryCode'],
    ['snake', 'created_at', 'inquiry_template', 'country_code'],
  ] as const) {
    const { attributes } = last(casing).data
    t.type(attributes[createdAt], 'string')
    const { data, included } = attributes.payload
    t.ok(template in data.relationships)
    t.equal(data.type, 'inquiry')
    t.ok(included.some((resource) => checkKey in resource.attributes))
    t.ok('contactWays-2' in (data.attributes['fields'] as object))
    t.ok('name_first' in (data.attributes['fields'] as object))
    const text = JSON.stringify(last(casing))
    if (casing === 'camel') t.notMatch(text, /"(?!contactWays-2)[a-z]+-[a-z0-9-]+":/)
    if (casing === 'snake') t.notMatch(text, /"(?!contactWays-2)[a-z]+-[a-z0-9-]+":|"(?!contactWays)[a-z]+[A-Z]\w*":/)
  }
})

t.test('some webhooks include nothing', async (t) => {
  const empty = lifecycles(30).filter((events) =>
    events.every((event) => documentOf(event).data.attributes.payload.included.length === 0),
  )
  t.ok(empty.length > 20 && empty.length < 100, `${empty.length} of 180`)
})

t.test('a redaction leaves status, times and ids, and nothing of the person', async (t) => {
  for (let seed = 0; seed < 20; seed += 1) {
    const options = { scenario: 'redacted', seed: `r/${seed}`, startAtMs: START_MS, isIncluding: true } as const
    const events = buildLifecycle(options)
    const redaction = events.at(-1)
    const before = events.at(-2)
    if (redaction === undefined || before === undefined) throw new Error('expected events')
    const { attributes } = primaryOf(before)
    const fields = attributes['fields'] as Record<string, { value: unknown }>
    const personal = [
      fields['name_last']?.value,
      fields['email_address']?.value,
      fields['birthdate']?.value,
      'access_token',
    ]
    const text = JSON.stringify(redaction.document)
    for (const value of personal) {
      t.ok(JSON.stringify(before.document).includes(String(value)))
      t.notOk(text.includes(String(value)), `${String(value)} is gone`)
    }
    const left = primaryOf(redaction).attributes
    t.match(left, {
      status: 'approved',
      'reference-id': null,
      note: null,
      tags: [],
      'completed-at': attributes['completed-at'],
    })
    t.type(left['redacted-at'], 'string')
    for (const verification of documentOf(redaction).data.attributes.payload.included) {
      if (!verification.type.startsWith('verification/')) continue
      t.type(verification.attributes['redacted-at'], 'string')
      t.equal(verification.attributes['status'], 'passed')
    }
  }
})

t.test('ids can be given', async (t) => {
  const ids = { inquiryId: 'inq_Given', accountId: 'act_Given', referenceId: null }
  const [first] = buildLifecycle({ scenario: 'approved', seed: 'x', startAtMs: START_MS, ...ids })
  if (first === undefined) throw new Error('expected events')
  t.match(primaryOf(first), {
    id: 'inq_Given',
    attributes: { 'reference-id': null },
    relationships: { account: { data: { id: 'act_Given' } } },
  })
})
