import { randomBytes } from 'node:crypto'
import { KeyRing, NO_KEYS } from '@persona-ingest/core'
import t from 'tap'
import type { Delivery, Replay } from '../../src/delivery.ts'
import { groupJobId, jobIdOf, readJobData, sizeOfJob, writeGroupData, writeJobData } from '../../src/job-data.ts'

const written = (delivery: Delivery | Replay, attemptsMade = 0) => writeJobData(delivery, attemptsMade, NO_KEYS)
const idOf = (delivery: Delivery | Replay) => jobIdOf(delivery, { keys: NO_KEYS, fallbackKey: null })
const read = (data: unknown) => readJobData(data, NO_KEYS)

function anEvent(overrides: Partial<Extract<Delivery, { kind: 'event' }>> = {}): Delivery {
  return {
    kind: 'event',
    eventId: 'evt_TestAaaa0001',
    environment: 'sandbox',
    receivedAtMs: 1_770_112_921_000,
    body: Buffer.from('{"data":{}}'),
    ...overrides,
  }
}

t.test('a job is named after its event, with a prefix that keeps it off the keys of BullMQ', async (t) => {
  t.equal(idOf(anEvent()), 'e-evt_TestAaaa0001')
  t.equal(idOf(anEvent({ eventId: 'wait' })), 'e-wait')
  t.equal(idOf(anEvent({ eventId: '12345' })), 'e-12345')
})

t.test('a quarantined job is named after the bytes of its body, by a digest that needs a key', async (t) => {
  const quarantined: Delivery = { ...anEvent(), kind: 'quarantined', reason: 'INVALID_JSON', body: Buffer.from('abc') }
  const [fallbackKey, otherKey] = [randomBytes(32), randomBytes(32)]
  const keys = new KeyRing([`a:${randomBytes(32).toString('base64')}`])
  const id = jobIdOf(quarantined, { keys: NO_KEYS, fallbackKey })
  t.match(id, /^q-[0-9a-f]{64}$/)
  t.equal(jobIdOf(quarantined, { keys: NO_KEYS, fallbackKey }), id)
  const others = [
    jobIdOf(quarantined, { keys: NO_KEYS, fallbackKey: otherKey }),
    jobIdOf(quarantined, { keys, fallbackKey: null }),
    jobIdOf({ ...quarantined, body: Buffer.from('abd') }, { keys: NO_KEYS, fallbackKey }),
    'q-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  ]
  t.equal(new Set([id, ...others]).size, 5)
  t.equal(jobIdOf(quarantined, { keys, fallbackKey }), jobIdOf(quarantined, { keys, fallbackKey: null }))
  t.throws(() => jobIdOf(quarantined, { keys: NO_KEYS, fallbackKey: null }), RangeError)
})

t.test('an event id that would break the keys of the queue throws', async (t) => {
  for (const eventId of ['', 'a:b', 'a b', 'ü', 'x'.repeat(256)]) {
    t.throws(() => idOf(anEvent({ eventId })), RangeError, JSON.stringify(eventId))
  }
  t.equal(idOf(anEvent({ eventId: 'x'.repeat(255) })).length, 257)
})

t.test('bytes that are UTF-8 are written as text, others as base64', async (t) => {
  t.match(written(anEvent({ body: Buffer.from('Zoë') })), { encoding: 'utf8', body: 'Zoë' })
  t.match(written(anEvent({ body: Buffer.from([0xff, 0x00]) })), { encoding: 'base64', body: '/wA=' })
})

t.test('a job of a newer program tells its version apart from a broken one', async (t) => {
  const data = written(anEvent())
  t.strictSame(read({ ...data, v: 4 }), { unreadable: 'JOB_VERSION_UNKNOWN' })
  t.strictSame(read({ v: 3 }), { unreadable: 'JOB_SHAPE_INVALID' })
  t.strictSame(read({ ...data, v: 2 }), { unreadable: 'JOB_SHAPE_INVALID' })
  t.strictSame(read({ ...data, body: 7 }), { unreadable: 'JOB_SHAPE_INVALID' })
  t.strictSame(read({ ...data, environment: 'staging' }), { unreadable: 'JOB_SHAPE_INVALID' })
  for (const data of [null, undefined, 'text', 7, [], {}]) {
    t.strictSame(read(data), { unreadable: 'JOB_SHAPE_INVALID' }, JSON.stringify(data))
  }
})

t.test('a group tells its size in its id, and gives its deliveries back in their order', async (t) => {
  const deliveries = [anEvent({ eventId: 'evt_1' }), anEvent({ eventId: 'evt_2' }), anEvent({ eventId: 'evt_3' })]
  const job = read(writeGroupData(deliveries, NO_KEYS))
  t.strictSame('deliveries' in job && job.deliveries.map(({ delivery }) => delivery.eventId), [
    'evt_1',
    'evt_2',
    'evt_3',
  ])
  t.equal(sizeOfJob(groupJobId(3)), 3)
  t.equal(sizeOfJob(idOf(anEvent({ eventId: 'g-7-x' }))), 1, 'whatever an event is called')
  t.strictSame(read({ v: 2, deliveries: [] }), { unreadable: 'JOB_SHAPE_INVALID' })
})

t.test('a replay names its event, under an id and a version of its own', async (t) => {
  const replay = { kind: 'replay', eventId: 'evt_1' } as const
  t.equal(idOf(replay), 'r-evt_1')
  t.strictSame(written(replay), { v: 3, eventId: 'evt_1' })
  t.strictSame(read(written(replay, 2)), {
    deliveries: [{ attemptsMade: 2, delivery: replay }],
    undecryptable: [],
    unencrypted: 0,
  })
})

t.test('attempts used up in an earlier job are remembered', async (t) => {
  t.match(read(written(anEvent(), 3)), { deliveries: [{ attemptsMade: 3 }] })
  t.match(read(written(anEvent())), { deliveries: [{ attemptsMade: 0 }] })
})
