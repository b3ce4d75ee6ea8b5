import { readEnvelope, verifySignature, type SigningSecret } from '@persona-ingest/persona'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import t from 'tap'
import { sendDelivery, simulate, type SimulationOptions } from '../../src/index.ts'

type Received = {
  eventId: string
  createdAtMs: number
  secret: string[]
  headers: IncomingMessage['headers']
  body: string
}

type Tap = { teardown(handler: () => void): unknown }

const secrets = ['wbhsec_11111111-1111-4111-8111-111111111111', 'wbhsec_22222222-2222-4222-8222-222222222222']

/** A receiver that verifies what it gets; `answer` decides by the number of the request. */
async function aReceiver(t: Tap, answer: (request: number, received: Received) => number = () => 200) {
  const received: Received[] = []
  const faults: string[] = []
  const server = createServer((request, response) => {
    buffer(request).then(
      (body) => receive(request, response, body),
      () => request.destroy(),
    )
  })
  const receive = (request: IncomingMessage, response: ServerResponse, body: Buffer) => {
    const header = String(request.headers['persona-signature'])
    const secret = secrets.filter((value) => {
      const signing: SigningSecret = { value, environment: 'sandbox' }
      return verifySignature({ header, body, secrets: [signing], nowMs: Date.now(), toleranceSeconds: 5 }).ok
    })
    const envelope = readEnvelope(body, Date.now())
    if (secret.length === 0) faults.push('signature')
    if (!envelope.ok) faults.push(envelope.reason)
    const { eventId = '', createdAtMs = 0 } = envelope.ok ? envelope : {}
    const entry = { eventId, createdAtMs, secret, headers: request.headers, body: body.toString() }
    received.push(entry)
    response.statusCode = answer(received.length, entry)
    response.end('{"status":"accepted"}')
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}/webhooks/persona`
  const run = async (options: Partial<SimulationOptions> = {}) =>
    await simulate({ url, secrets, inquiries: 12, concurrency: 8, ...options })
  return { url, received, faults, run }
}

t.test('every event arrives once, signed, with the headers of the provider', async (t) => {
  const { received, faults, run } = await aReceiver(t)
  const report = await run()
  t.strictSame(faults, [])
  t.equal(report.eventIds.length, 86)
  t.strictSame(received.map(({ eventId }) => eventId).toSorted(), [...report.eventIds].toSorted())
  t.strictSame([...report.acknowledgedEventIds].toSorted(), [...report.eventIds].toSorted())
  t.match(report, {
    deliveries: 86,
    attempts: 86,
    retries: 0,
    quarantined: 0,
    answers: { 200: 86 },
    gaveUpEventIds: [],
  })
  t.ok(report.latencyMs !== null && report.latencyMs.p50 <= report.latencyMs.p99)
  for (const { headers, secret, createdAtMs } of received) {
    t.match(headers, {
      'content-type': 'application/json; charset=utf-8',
      'persona-webhook-attempts-made': '1',
      'persona-webhook-attempts-left': '7',
      'persona-webhook-first-attempted-at': /^\d{10}$/,
    })
    t.strictSame(secret, [secrets[0]])
    t.ok(createdAtMs < Date.now() && createdAtMs > Date.now() - 11 * 3_600_000)
  }
})

t.test('the same seed sends the same bodies, in any order and casing the same events', async (t) => {
  const { received, run } = await aReceiver(t)
  const nowMs = Date.now()
  const bodies: string[][] = []
  for (const options of [{}, { shuffle: 'full' }, { casing: 'camel' }, { seed: 'another' }] as const) {
    await run({ nowMs, ...options })
    bodies.push(
      received
        .splice(0)
        .map(({ body }) => body)
        .toSorted(),
    )
  }
  t.strictSame(bodies[1], bodies[0])
  t.notSame(bodies[2], bodies[0])
  const idsOf = (texts: string[] | undefined) =>
    texts?.map((text) => (JSON.parse(text) as { data: { id: string } }).data.id).toSorted()
  t.strictSame(idsOf(bodies[2]), idsOf(bodies[0]))
  t.notSame(idsOf(bodies[3]), idsOf(bodies[0]))
})

t.test('refused deliveries come again by the schedule, signed anew, until they are taken', async (t) => {
  const seen = new Map<string, number>()
  const { received, faults, run } = await aReceiver(t, (_request, { eventId }) => {
    seen.set(eventId, (seen.get(eventId) ?? 0) + 1)
    return seen.get(eventId) === 3 ? 202 : 503
  })
  const report = await run({ inquiries: 2, timeCompression: 100 })
  t.strictSame(faults, [])
  t.equal(report.acknowledgedEventIds.length, report.eventIds.length)
  t.match(report, { attempts: 13 * 3, retries: 13 * 2, deliveries: 13, answers: { 202: 13, 503: 26 } })
  const first = received.filter(({ eventId }) => eventId === received[0]?.eventId)
  t.strictSame(
    first.map(({ headers }) => [headers['persona-webhook-attempts-made'], headers['persona-webhook-attempts-left']]),
    [
      ['1', '7'],
      ['2', '6'],
      ['3', '5'],
    ],
  )
  t.equal(new Set(first.map(({ headers }) => headers['persona-webhook-first-attempted-at'])).size, 1)
  t.ok(report.durationMs > (3000 + 64_000) / 100)
})

t.test('after eight attempts a delivery is given up, by name', async (t) => {
  const { received, run } = await aReceiver(t, () => 401)
  const report = await run({ inquiries: 1, timeCompression: 1_000_000 })
  t.equal(received.length, 6 * 8)
  t.strictSame([...report.gaveUpEventIds].toSorted(), [...report.eventIds].toSorted())
  t.strictSame(report.acknowledgedEventIds, [])
  t.equal(report.latencyMs, null)
})

t.test('only 200, 201, 202 and 204 acknowledge', async (t) => {
  const statuses = [200, 201, 202, 204, 203, 206, 301, 400, 503]
  const { url } = await aReceiver(t, (request) => statuses[request - 1] ?? 500)
  const acknowledged: unknown[] = []
  for (const _status of statuses) {
    const body = Buffer.from('{}')
    const result = await sendDelivery({
      url,
      body,
      secrets,
      nowMs: Date.now(),
      attempt: 1,
      firstAttemptedAtMs: Date.now(),
    })
    if (result.isAcknowledged) acknowledged.push(result.answer)
  }
  t.strictSame(acknowledged, [200, 201, 202, 204])
})

t.test('a rotation signs with both secrets, or changes from one to the other', async (t) => {
  const { received, faults, run } = await aReceiver(t)
  await run({ rotation: 'both' })
  t.ok(received.every(({ secret }) => secret.length === 2))
  received.splice(0)
  await run({ rotation: 'switch', concurrency: 1 })
  const used = received.map(({ secret }) => secret.join())
  t.strictSame(new Set(used), new Set(secrets))
  t.equal(used.indexOf(secrets[1] ?? ''), used.lastIndexOf(secrets[0] ?? '') + 1, 'it changes once')
  t.strictSame(faults, [])
})

t.test('duplicates are delivered on top and counted', async (t) => {
  const { received, run } = await aReceiver(t)
  const report = await run({ duplicates: 0.5, shuffle: 'full', casing: 'mixed' })
  t.equal(received.length, 129)
  t.equal(report.deliveries, 129)
  t.equal(report.eventIds.length, 86)
  const bodies = new Map(received.map(({ eventId, body }) => [eventId, body]))
  t.ok(
    received.every(({ eventId, body }) => bodies.get(eventId) === body),
    'a duplicate is the same byte for byte',
  )
})

t.test('the rate is kept', async (t) => {
  const { received, run } = await aReceiver(t)
  const report = await run({ inquiries: 12, ratePerSecond: 100 })
  t.equal(received.length, 86)
  t.ok(report.durationMs > 800 && report.durationMs < 2500, `${report.durationMs} ms`)
})

t.test('no delivery begins after the duration', async (t) => {
  const { received, run } = await aReceiver(t)
  const report = await run({ inquiries: 10_000, ratePerSecond: 100, durationSeconds: 0.5 })
  t.ok(received.length >= 40 && received.length <= 52, `${received.length} deliveries`)
  t.equal(report.deliveries, received.length)
})

t.test('a signal ends it early, also while it waits for a retry', async (t) => {
  const controller = new AbortController()
  const { run } = await aReceiver(t, (request) => {
    if (request === 20) controller.abort()
    return 503
  })
  const report = await run({ signal: controller.signal, concurrency: 2 })
  t.ok(report.attempts >= 20 && report.attempts <= 22)
  t.strictSame(report.gaveUpEventIds, [])
})

t.test('a receiver that is away is told by its code', async (t) => {
  const report = await simulate({ url: 'http://127.0.0.1:1/', secrets, inquiries: 1, timeCompression: 1_000_000 })
  t.strictSame(report.answers, { ECONNREFUSED: 48 })
  t.equal(report.gaveUpEventIds.length, 6)
})

t.test('progress is told', async (t) => {
  const { run } = await aReceiver(t)
  const told: number[] = []
  await run({ onProgress: (progress) => told.push(progress.acknowledgedEvents) })
  t.equal(told.at(-1), 86)
})

t.test('options that make no sense are refused', async (t) => {
  const { run } = await aReceiver(t)
  for (const options of [
    { inquiries: 0 },
    { inquiries: 1.5 },
    { secrets: [] },
    { secrets: ['only one'], rotation: 'both' },
    { ratePerSecond: 0 },
    { duplicates: -1 },
    { concurrency: Number.NaN },
    { timeCompression: 0 },
  ] as const) {
    await t.rejects(run(options), RangeError, JSON.stringify(options))
  }
})
