import { NO_KEYS } from '@persona-ingest/core'
import * as fc from 'fast-check'
import t from 'tap'
import type { Delivery } from '../../src/delivery.ts'
import { readJobData, writeGroupData, writeJobData } from '../../src/job-data.ts'

const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  // Every kind of valid text: NUL, a byte order mark, characters beyond the first plane, lone surrogates written wrongly.
  fc.string({ unit: 'binary', maxLength: 100 }).map((text) => new Uint8Array(Buffer.from(text))),
  fc.string({ unit: 'grapheme', maxLength: 50 }).map((text) => new Uint8Array(Buffer.from(`\ufeff${text}\u0000`))),
  fc.constant(new Uint8Array([0xed, 0xa0, 0x80])),
)
const common = {
  environment: fc.constantFrom('production' as const, 'sandbox' as const),
  receivedAtMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
  body: anyBytes,
}
const aDelivery: fc.Arbitrary<Delivery> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('event' as const),
      eventId: fc.string({ minLength: 1 }),
      requestId: fc.string(),
      traceParent: fc.string(),
      ...common,
    },
    { requiredKeys: ['kind', 'eventId', 'environment', 'receivedAtMs', 'body'] },
  ),
  fc.record({
    kind: fc.constant('quarantined' as const),
    reason: fc.string({ minLength: 1 }),
    eventId: fc.option(fc.string()),
    ...common,
  }),
)

t.test('a delivery comes back from its job byte for byte', async (t) => {
  fc.assert(
    fc.property(aDelivery, fc.boolean(), (delivery, isGroup) => {
      // What Redis keeps is the JSON text in UTF-8.
      const data = isGroup ? writeGroupData([delivery], NO_KEYS) : writeJobData(delivery, 0, NO_KEYS)
      const kept = Buffer.from(JSON.stringify(data)).toString('utf8')
      const read = readJobData(JSON.parse(kept), NO_KEYS)
      if ('unreadable' in read) throw new Error(read.unreadable)
      const [first] = read.deliveries
      if (first === undefined) throw new Error('the delivery is gone')
      if (first.delivery.kind === 'replay') throw new Error('the delivery became a replay')
      const { body, ...rest } = first.delivery
      const { body: sent, ...sentRest } = delivery
      if (Buffer.compare(body, sent) !== 0) throw new Error('the body changed')
      return (
        JSON.stringify(rest, Object.keys(rest).toSorted()) === JSON.stringify(sentRest, Object.keys(rest).toSorted())
      )
    }),
    { numRuns: 1000 },
  )
  t.pass('1000 deliveries')
})

t.test('any data at all is either read or called unreadable', async (t) => {
  fc.assert(
    fc.property(fc.anything(), (data) => {
      const read = readJobData(data, NO_KEYS)
      return 'unreadable' in read || 'deliveries' in read
    }),
  )
  t.pass('100 values')
})
