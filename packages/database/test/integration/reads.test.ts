import t from 'tap'
import { readEvent } from '@persona-ingest/persona'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { anEvent } from '@persona-ingest/testkit/events'
import {
  findDeadLetter,
  findEvent,
  findEventBody,
  findInquiry,
  listDeadLetters,
  listInquiries,
  openDatabase,
  parseInquiryCursor,
  readEventStatistics,
  readTimeline,
  storeDeadLetter,
  storeEvents,
} from '../../src/index.ts'

const START_MS = Date.UTC(2026, 1, 3, 10)

type Told = {
  readonly id: string
  readonly name?: string
  readonly offsetMs?: number
  readonly receivedAfterMs?: number
  readonly resource?: object
  readonly included?: readonly object[]
  /** Goes into the body as it is, before the envelope's end. */
  readonly extra?: string
}

function inquiry(id: string, attributes: object = {}, relationships: object = {}): object {
  return { type: 'inquiry', id, attributes, relationships }
}

function bodyOf(told: Told): Buffer {
  const createdAt = new Date(START_MS + (told.offsetMs ?? 0)).toISOString()
  const { id, name, resource = inquiry('inq_1'), included = [] } = told
  const text = JSON.stringify(anEvent({ id, name, createdAt, data: resource, included }))
  return Buffer.from(text.replace(/\}$/, `${told.extra ?? ''}}`))
}

function event(told: Told) {
  const receivedAtMs = START_MS + (told.receivedAfterMs ?? told.offsetMs ?? 0)
  return readEvent({ body: bodyOf(told), environment: 'production', receivedAtMs })
}

t.test('reads of the projections, the log and the dead letters', async (t) => {
  const { url, sql } = await throwAwayDatabase(t)
  const database = openDatabase({ encryptionKeys: [], url, connections: 2 })
  t.teardown(() => database.close())

  t.test('statistics of an empty log', async (t) => {
    const expected = { total: 0, isExact: true, lastHour: 0, newestReceivedAt: null, lag: null }
    t.strictSame(await readEventStatistics(database), expected)
  })

  t.test('pages of inquiries hold each one once, newest event first, those known by reference last', async (t) => {
    await sql('TRUNCATE events, inquiries, verifications, resources, objects, claims, event_objects')
    // Two inquiries in one event, two events in one millisecond, one inquiry that is only named.
    await storeEvents(database, [
      event({ id: 'evt_1', resource: inquiry('inq_a', { status: 'pending' }), included: [inquiry('inq_B')] }),
      event({ id: 'evt_2', resource: inquiry('inq_c', { status: 'pending' }) }),
      event({ id: 'evt_3', offsetMs: 5, resource: inquiry('inq_d', { 'reference-id': 'ref-1' }) }),
      event({
        id: 'evt_4',
        name: 'report.ready',
        offsetMs: 9,
        resource: {
          type: 'report',
          id: 'rep_1',
          relationships: { inquiry: { data: { type: 'inquiry', id: 'inq_e' } } },
        },
      }),
    ])
    const ids: string[] = []
    let before = undefined
    for (let pages = 0; pages < 5; pages += 1) {
      const page = await listInquiries(database, { limit: 1, before })
      ids.push(...page.inquiries.map((each) => each.id))
      if (pages < 4) t.type(page.next, 'string', `page ${pages} has a next one`)
      else t.equal(page.next, null, 'the last page says so')
      before = parseInquiryCursor(page.next ?? '') ?? undefined
    }
    t.strictSame(ids, ['inq_d', 'inq_c', 'inq_a', 'inq_B', 'inq_e'])

    const filtered = async (filter: object) =>
      (await listInquiries(database, { limit: 10, ...filter })).inquiries.map((each) => each.id)
    t.strictSame(await filtered({ status: 'pending' }), ['inq_c', 'inq_a'])
    t.strictSame(await filtered({ referenceId: 'ref-1' }), ['inq_d'])
    t.strictSame(await filtered({ environment: 'sandbox' }), [])
    t.strictSame(await filtered({ accountId: 'act_1' }), [])
  })

  t.test('a forged cursor is none', async (t) => {
    const forged = ['', 'x', '!', JSON.stringify([1, 2, 3]), '[1,1,"e",5]', '[9e15,1,"e","i"]', '[-1,1,"e","i"]']
    for (const text of [...forged, '[null,1,"e","i"]', '[1,1,"e","\\u0000"]']) {
      t.equal(parseInquiryCursor(Buffer.from(text).toString('base64url')), null, text)
    }
  })

  t.test('an inquiry comes with its verifications and its other objects, numbers digit by digit', async (t) => {
    const relationships = {
      account: { data: { type: 'account', id: 'act_1' } },
      verifications: { data: [{ type: 'verification/selfie', id: 'ver_2' }] },
    }
    const body = bodyOf({
      id: 'evt_10',
      name: 'inquiry.approved',
      resource: inquiry('inq_10', { score: '@', tags: ['a', 'b'], 'reference-id': 'r' }, relationships),
      included: [
        {
          type: 'verification/government-id',
          id: 'ver_1',
          attributes: { status: 'passed', 'created-at': '2026-02-03T10:00:00Z' },
        },
        { type: 'inquiry-session', id: 'iqse_1', attributes: { status: 'active' } },
        { type: 'account', id: 'act_1', attributes: {} },
      ],
    })
    const exact = Buffer.from(body.toString().replace('"@"', '12345678901234567890.10'))
    await storeEvents(database, [readEvent({ body: exact, environment: 'sandbox', receivedAtMs: START_MS })])

    const found = await findInquiry(database, 'inq_10')
    t.match(found?.inquiry, {
      id: 'inq_10',
      environment: 'sandbox',
      status: 'approved',
      account_id: 'act_1',
      tags: ['a', 'b'],
      event_id: 'evt_10',
      event_rank: 6,
      event_created_at: new Date(START_MS),
      relationships: { account: { type: 'account', id: 'act_1' } },
    })
    t.match(JSON.stringify(found?.inquiry.attributes), '12345678901234567890.10')
    t.strictSame(
      found?.verifications.map(({ id, status }) => [id, status]),
      [
        ['ver_1', 'passed'],
        ['ver_2', null],
      ],
    )
    t.strictSame(
      found?.resources.map(({ id, type }) => [id, type]),
      [['iqse_1', 'inquiry-session']],
    )
    t.equal(await findInquiry(database, 'inq_none'), null)

    const listed = (await listInquiries(database, { limit: 1, environment: 'sandbox' })).inquiries[0]
    t.strictSame(listed?.verifications, { count: 2, statuses: { passed: 1, unknown: 1 } })
  })

  t.test('a timeline stands in the order of the clock', async (t) => {
    const stored = (id: string, name: string, offsetMs: number, receivedAfterMs: number) =>
      event({ id, name, offsetMs, receivedAfterMs, resource: inquiry('inq_20', {}) })
    await storeEvents(database, [
      // One millisecond: the rank of the name decides, not the id.
      stored('evt_z0', 'inquiry.created', 0, 900),
      stored('evt_y1', 'inquiry.started', 0, 100),
      stored('evt_x2', 'inquiry.completed', 50, 200),
    ])
    const rows = await readTimeline(database, 'inq_20')
    t.strictSame(
      rows.map((row) => [row.event_id, row.status, row.out_of_order]),
      [
        ['evt_z0', 'created', true],
        ['evt_y1', 'pending', false],
        ['evt_x2', 'completed', false],
      ],
    )
    t.strictSame(await readTimeline(database, 'inq_none'), [])
  })

  t.test('an event gives its bytes back where jsonb cannot', async (t) => {
    const odd = bodyOf({ id: 'evt_30', extra: ',"odd":1e2,"odd":"\\u0000"' })
    await storeEvents(database, [
      readEvent({ body: odd, environment: 'production', receivedAtMs: START_MS }),
      event({ id: 'evt_31' }),
    ])
    t.strictSame(await findEventBody(database, 'evt_30'), {
      bytes: new Uint8Array(odd),
      isAsDelivered: true,
      isPruned: false,
    })
    const plain = await findEventBody(database, 'evt_31')
    t.equal(plain?.isAsDelivered, false)
    t.strictSame(
      JSON.parse(Buffer.from(plain?.bytes ?? []).toString()),
      JSON.parse(bodyOf({ id: 'evt_31' }).toString()),
    )
    t.equal(await findEventBody(database, 'evt_none'), null)
    t.match(await findEvent(database, 'evt_31'), {
      id: 'evt_31',
      environment: 'production',
      name: 'inquiry.transitioned',
      resource_type: 'inquiry',
      resource_id: 'inq_1',
      inquiry_id: 'inq_1',
      outcome: 'applied',
      created_at: new Date(START_MS),
      received_at: new Date(START_MS),
      payload: { data: { id: 'evt_31' } },
    })
    t.equal(await findEvent(database, 'evt_none'), null)
  })

  t.test('dead letters are listed newest first, by state and reason', async (t) => {
    const deadLetter = (body: string, reason: string) => ({
      eventId: null,
      environment: 'production' as const,
      reason,
      error: 'the body is no usable event',
      body: Buffer.from(body),
      receivedAtMs: START_MS,
      attempts: 0,
    })
    await storeDeadLetter(database, deadLetter('one', 'INVALID_JSON'))
    await storeDeadLetter(database, deadLetter('[]', 'NOT_AN_OBJECT'))
    await storeDeadLetter(database, deadLetter('three', 'INVALID_JSON'))
    await sql("UPDATE dead_letters SET state = 'discarded', resolved_at = now() WHERE body = 'one'::bytea")

    const listed = async (filter: object) => await listDeadLetters(database, { limit: 10, ...filter })
    t.strictSame(
      (await listed({})).deadLetters.map((each) => each.id),
      ['3', '2', '1'],
    )
    t.strictSame(
      (await listed({ state: 'open' })).deadLetters.map((each) => each.id),
      ['3', '2'],
    )
    t.strictSame(
      (await listed({ reason: 'INVALID_JSON' })).deadLetters.map((each) => each.id),
      ['3', '1'],
    )
    const first = await listed({ limit: 2 })
    t.equal(first.next, '2')
    t.strictSame(
      (await listed({ limit: 2, before: '2' })).deadLetters.map((each) => each.id),
      ['1'],
    )

    t.match(await findDeadLetter(database, '2'), {
      id: '2',
      event_id: null,
      state: 'open',
      attempts: 0,
      body_bytes: 2,
      body: new Uint8Array(Buffer.from('[]')),
      body_sha256: '4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945',
    })
    t.equal(await findDeadLetter(database, '9223372036854775807'), null)
  })

  t.test('statistics tell how long the newest events took and how many there are', async (t) => {
    await sql('TRUNCATE events')
    await storeEvents(
      database,
      Array.from({ length: 200 }, (_, index) => event({ id: `evt_${index}` })),
    )
    // 199 events took 10 ms, one 5 s; all but one were received long ago.
    await sql("UPDATE events SET processed_at = received_at + interval '10 ms'")
    await sql(
      "UPDATE events SET received_at = now() - interval '1 min', processed_at = now() - interval '55 s' WHERE id = 'evt_7'",
    )
    const { newestReceivedAt, ...statistics } = await readEventStatistics(database)
    t.strictSame(statistics, {
      total: 200,
      isExact: true,
      lastHour: 1,
      lag: { events: 200, p50Ms: 10, p99Ms: 10, maxMs: 5000 },
    })
    t.type(newestReceivedAt, Date)
  })
})
