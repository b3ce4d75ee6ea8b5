import { everyRow, marksIn } from '@persona-ingest/testkit'
import t from 'tap'
import { aDatabase } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf, related, type EventParts } from '../fixtures/an-event.ts'
import { partOf } from '../fixtures/part-of.ts'

const database = await aDatabase(t)
const { row, sql, store, keepDeadLetter, deliver } = database
t.beforeEach(() => database.empty())

const at = (second: number) => `2026-02-03T10:00:0${second}.000Z`
const ofInquiry = (id = 'inq_1') => ({ inquiry: related(['inquiry', id]) })

/** Marked values, in every place that a body can hold one. */
let marks: string[] = []
t.beforeEach(() => void (marks = []))
function mark(place: string): string {
  const text = `MARK-${place}-${marks.length}`
  marks.push(text)
  return text
}
const attributes = (place: string) => ({
  [mark(`${place}-key`)]: 1,
  'name-first': mark(place),
  nested: { list: [{ deep: mark(place) }] },
  status: 'passed',
  'created-at': at(1),
})

function personalInquiry(extra: object = {}): object {
  return {
    ...anObject('inquiry', 'inq_1', {
      attributes: {
        ...attributes('inquiry'),
        'reference-id': mark('reference'),
        tags: [mark('tag')],
        fields: { [mark('field-key')]: { type: 'string', value: mark('field') } },
        'updated-at': mark('unreadable-time'),
        ...extra,
      },
      relationships: {
        account: { ...related(['account', 'act_1']), meta: { note: mark('relationship-meta') } },
        odd: { data: { type: 'account', id: 'act_1', attributes: { note: mark('relationship-data') } } },
      },
    }),
    meta: { note: mark('object-meta') },
  }
}

function personalVerification(id = 'ver_1'): object {
  const told = { ...attributes(id), 'country-code': mark('country'), checks: [{ name: mark('check') }] }
  return anObject('verification/selfie', id, { attributes: told, relationships: ofInquiry() })
}

function personalEvents(suffix = ''): EventParts[] {
  const included = [
    personalVerification(),
    anObject('report/watchlist', 'rep_1', { attributes: attributes('report') }),
    anObject('inquiry-session', 'iqse_1', { attributes: { 'ip-address': mark('session') } }),
    anObject('account', 'act_1', { attributes: attributes('account') }),
    mark('junk'),
    { type: 'account', attributes: { note: mark('no-id') } },
  ]
  return [
    {
      id: `evt_1${suffix}`,
      createdAt: at(1),
      name: 'inquiry.completed',
      data: personalInquiry(),
      included,
      extra: { context: { step: mark('context') }, 'redacted-at': null },
    },
    { id: `evt_2${suffix}`, createdAt: at(2), name: 'verification.passed', data: personalVerification('ver_2') },
    { id: `evt_3${suffix}`, createdAt: at(3), name: 'inquiry.updated-tags', data: personalInquiry({ nul: `\u0000${mark('nul')}` }) }, // prettier-ignore
    {
      id: `evt_4${suffix}`,
      createdAt: at(4),
      name: 'document.processed',
      data: anObject('document/generic', 'doc_1', { attributes: attributes('document'), relationships: ofInquiry() }),
    },
  ]
}

function redaction(parts: EventParts = {}): EventParts {
  const data = anObject('inquiry', 'inq_1', {
    attributes: { status: 'approved', 'redacted-at': at(6), 'name-first': null, tags: [], fields: {} },
    relationships: { account: related(['account', 'act_1']) },
  })
  return { id: 'evt_redaction', createdAt: at(6), name: 'inquiry.redacted', data, ...parts }
}

const found = async () => marksIn(await everyRow(sql), marks)

t.test('a redaction leaves no marked value in any column of any table', async (t) => {
  await store(...personalEvents())
  t.strictSame(await found(), marks, 'every mark is there before')
  await store(redaction())
  t.strictSame(await found(), [])
  t.strictSame(await row('SELECT count(*)::int FROM events'), { count: 5 })
  const inquiry = { status: 'approved', reference_id: null, tags: [], fields: {}, redacted_at: new Date(at(6)) }
  t.strictSame(partOf(await row('SELECT * FROM inquiries'), inquiry), inquiry)
  const verification = {
    id: 'ver_1', inquiry_id: 'inq_1', type: 'verification/selfie', status: 'passed', country_code: null, checks: [],
    attributes: {}, created_at: new Date(at(1)), event_id: 'evt_1', relationships: { inquiry: { type: 'inquiry', id: 'inq_1' } },
  } // prettier-ignore
  t.strictSame(partOf(await row(`SELECT * FROM verifications WHERE id = 'ver_1'`), verification), verification)
  t.strictSame(await sql('SELECT id, status, attributes FROM resources ORDER BY id'), [
    { id: 'act_1', status: 'passed', attributes: {} },
    { id: 'doc_1', status: 'passed', attributes: {} },
    { id: 'iqse_1', status: null, attributes: {} },
    { id: 'rep_1', status: 'passed', attributes: {} },
  ])
})

for (const [change, left] of [
  [`payload = jsonb_set(payload, '{data,attributes,created-at}', '"yesterday"')`, {}],
  [`payload = jsonb_build_array(payload)`, {}],
  [`payload = (SELECT payload FROM events WHERE id = 'evt_other')`, {}],
] as const) {
  t.test(`an event that was changed by hand keeps nothing, and holds no redaction up: ${change}`, async (t) => {
    await store({ id: 'evt_other', data: anObject('inquiry', 'inq_9', { attributes: attributes('other') }) })
    const others = marks.length
    await store({ id: 'evt_1', createdAt: at(1), data: personalInquiry(), included: [personalVerification()] })
    await sql(`UPDATE events SET ${change} WHERE id = 'evt_1'`)
    const data = anObject('inquiry', 'inq_1', { attributes: { status: 'approved' } })
    await store({ id: 'evt_9', createdAt: at(9), name: 'inquiry.redacted', data })
    t.strictSame(marksIn(await everyRow(sql), marks), marks.slice(0, others))
    t.strictSame(await row(`SELECT payload FROM events WHERE id = 'evt_1'`), { payload: left })
    t.match(await row('SELECT status, attributes, checks FROM verifications'), {
      status: 'passed',
      attributes: {},
      checks: [],
    })
    t.ok(marksIn(JSON.stringify(await row(`SELECT payload FROM events WHERE id = 'evt_other'`)), marks).length > 0)
  })
}

t.test('what is older and arrives later is reduced before it is stored', async (t) => {
  await store(redaction())
  for (const event of personalEvents()) await store(event)
  await store(...personalEvents('_again'))
  t.strictSame(await found(), [])
  t.strictSame(await row('SELECT count(*)::int FROM events'), { count: 9 })
})

t.test('in one batch with what it erases, a redaction erases it', async (t) => {
  const events = personalEvents()
  await store(...events.slice(0, 1), redaction(), ...events.slice(1))
  t.strictSame(await found(), [])
})

t.test('in any casing, and in bytes that were kept beside the payload', async (t) => {
  for (const casing of ['camel', 'snake'] as const) {
    await database.empty()
    marks = []
    for (const event of personalEvents()) await deliver({ body: bodyOf(anEvent(event), casing) })
    await deliver({ body: bodyOf(anEvent(redaction()), casing) })
    t.strictSame(await found(), [], casing)
    t.strictSame(await sql('SELECT id FROM events WHERE original_body IS NOT NULL'), [])
  }
})

t.test("newer snapshots, the redacting one, and what is not the inquiry's, stay as told", async (t) => {
  const account = anObject('account', 'act_1', { attributes: { note: mark('account') } })
  await store({ id: 'evt_account', createdAt: at(5), name: 'account.created', data: account })
  await store({ id: 'evt_other', createdAt: at(5), data: anObject('inquiry', 'inq_2', { attributes: { note: mark('other') } }) }) // prettier-ignore
  await store(redaction({ extra: { context: { step: mark('redacting') } } }))
  await store({ id: 'evt_newer', createdAt: at(7), data: anObject('inquiry', 'inq_1', { attributes: { note: mark('newer') } }), included: [personalVerification()] }) // prettier-ignore
  t.strictSame(await found(), marks)
  t.strictSame(await row(`SELECT event_id, attributes FROM resources WHERE id = 'act_1'`), {
    event_id: 'evt_account',
    attributes: { note: marks[0] },
  })
})

t.test('a redaction is told by redacted-at whatever the event, or by the name of the event', async (t) => {
  const redacted = anObject('inquiry', 'inq_1', { attributes: { 'redacted-at': at(6) } })
  const tellings: EventParts[] = [
    { name: 'inquiry.updated-tags', data: redacted },
    { name: 'account.redacted', data: anObject('account', 'act_9'), included: [redacted] },
    { name: 'inquiry.redacted', data: anObject('inquiry', 'inq_1') },
    // Any redacted-at but null, by the dead letter.
    { name: 'inquiry.approved', data: anObject('inquiry', 'inq_1', { attributes: { 'redacted-at': '' } }) },
    { name: 'inquiry.approved', data: anObject('inquiry', 'inq_1', { attributes: { 'redacted-at': 'today' } }) },
  ]
  for (const telling of tellings) {
    await database.empty()
    marks = []
    await store(...personalEvents())
    await store({ id: 'evt_telling', createdAt: at(6), ...telling })
    t.strictSame(await found(), [], JSON.stringify(telling))
  }
})

t.test('a claim that is learned after the redaction reaches back, and a later claim brings nothing back', async (t) => {
  const selfie = anObject('selfie', 'self_1', { attributes: { note: mark('selfie') } })
  await store({ id: 'evt_1', createdAt: at(1), name: 'selfie.created', data: selfie })
  await store(redaction())
  t.strictSame(await found(), marks, 'nothing says yet whose it is')
  await store({ id: 'evt_2', createdAt: at(2), data: anObject('inquiry', 'inq_1', { relationships: { selfies: related(['selfie', 'self_1']) } }) }) // prettier-ignore
  t.strictSame(await found(), [])
  await store({ id: 'evt_8', createdAt: at(8), data: anObject('inquiry', 'inq_2', { relationships: { selfies: related(['selfie', 'self_1']) } }) }) // prettier-ignore
  t.strictSame(await row(`SELECT inquiry_id, attributes FROM resources WHERE id = 'self_1'`), {
    inquiry_id: 'inq_2',
    attributes: {},
  })
  await store({ id: 'evt_3', createdAt: at(3), name: 'selfie.created', data: anObject('selfie', 'self_1', { attributes: { note: mark('late') } }) }) // prettier-ignore
  t.strictSame(await found(), [])
})

t.test('a newer redaction reaches what came after an older one', async (t) => {
  await store(redaction({ id: 'evt_r1', createdAt: at(2) }))
  await store({ id: 'evt_3', createdAt: at(3), data: personalInquiry(), included: [personalVerification()] })
  t.strictSame(await found(), marks)
  await store(redaction())
  t.strictSame(await found(), [])
})

t.test('objects with ids of any letters are found', async (t) => {
  const id = 'inq.ünïcode "\\ \u{1f600}'
  const inquiry = (told: object) => anObject('inquiry', id, { attributes: told })
  await store({ id: 'evt_1', data: inquiry({ note: mark('a') }) })
  const cut = bodyOf(anEvent({ data: inquiry({ note: mark('cut') }) })).subarray(0, -1)
  await keepDeadLetter({ body: cut })
  await keepDeadLetter({ eventId: 'evt_2', reason: 'VALUE_REFUSED', attempts: 1, body: bodyOf(anEvent({ id: 'evt_2', data: inquiry({ note: mark('b') }) })) }) // prettier-ignore
  t.strictSame(await found(), marks)
  await store({ id: 'evt_3', createdAt: at(6), name: 'inquiry.redacted', data: inquiry({}) })
  t.strictSame(await found(), [])
})

t.test('dead letters: bodies of events keep their skeleton, others nothing', async (t) => {
  const deadLetter = { reason: 'ATTEMPTS_EXHAUSTED', attempts: 10 }
  const early = async (suffix: string) => {
    for (const event of personalEvents(suffix))
      await keepDeadLetter({ ...deadLetter, eventId: event.id ?? null, body: bodyOf(anEvent(event)) })
    const cut = bodyOf(anEvent({ data: personalInquiry() })).subarray(0, -3)
    await keepDeadLetter({ body: cut, eventId: null, reason: 'INVALID_JSON' })
    const nameless = { data: { id: `evt_q${suffix}`, attributes: { payload: { data: personalInquiry() } } } }
    await keepDeadLetter({
      body: Buffer.from(JSON.stringify(nameless)),
      eventId: `evt_q${suffix}`,
      reason: 'EVENT_NAME_INVALID',
    })
  }
  await early('_before')
  t.strictSame(await found(), marks)
  await store(redaction())
  t.strictSame(await found(), [], 'letters that were there')
  await early('_after')
  t.strictSame(await found(), [], 'letters that came later')
  const kept = await row(`SELECT body FROM dead_letters WHERE event_id = 'evt_1_before'`)
  const document = JSON.parse(String(kept['body'])) as { data: { id: string; attributes: { name: string } } }
  t.match(document, { data: { id: 'evt_1_before', attributes: { name: 'inquiry.completed', 'created-at': at(1) } } })
})

t.test('dead letters: a claim that only the letter tells counts for the letter', async (t) => {
  const event = { id: 'evt_1', createdAt: at(1), name: 'verification.passed', data: personalVerification('ver_9') }
  const deadLetter = { eventId: 'evt_1', reason: 'VALUE_REFUSED', attempts: 1, body: bodyOf(anEvent(event)) }
  await keepDeadLetter(deadLetter)
  t.strictSame(await found(), marks)
  await store(redaction())
  t.strictSame(await found(), [], 'told before the redaction')
  await sql('TRUNCATE dead_letters')
  await keepDeadLetter(deadLetter)
  t.strictSame(await found(), [], 'told after it')
})

t.test('dead letters that a redaction does not reach stay byte for byte', async (t) => {
  const newer = bodyOf(anEvent({ id: 'evt_7', createdAt: at(7), data: personalInquiry() }))
  const other = Buffer.from(`{"data": {"id":"inq_11"}, "note": "${mark('other')}"`)
  await keepDeadLetter({ eventId: 'evt_7', reason: 'ATTEMPTS_EXHAUSTED', attempts: 10, body: newer })
  await keepDeadLetter({ body: other })
  await store(redaction())
  const bodies = (await sql('SELECT body FROM dead_letters ORDER BY id')).map((deadLetter) =>
    String(deadLetter['body']),
  )
  t.strictSame(bodies, [newer.toString(), other.toString()])
})
