import t from 'tap'
import { claimStrength, compareClaims, compareClockedClaims, type Claim } from '../../src/claim.ts'

const { byObject, byInquiry, included } = claimStrength
const claim = (inquiryId: string, strength: Claim['strength']): Claim => ({ objectId: 'ver_1', inquiryId, strength })

t.test('within one event the stronger claim counts, then the greater inquiry id byte by byte', async (t) => {
  const ascending = [
    claim('inq_Z', included),
    claim('inq_a', included),
    claim('inq_A', byInquiry),
    claim('inq_Z', byInquiry),
    claim('inq_0', byObject),
    claim('inq_a', byObject),
    claim('～', byObject),
    claim('😀', byObject),
  ]
  for (const [index, left] of ascending.entries())
    for (const [other, right] of ascending.entries())
      t.equal(Math.sign(compareClaims(left, right)), Math.sign(index - other), `${index} ${other}`)
})

t.test('between events the newer claim counts, however weak', async (t) => {
  const older = { ...claim('inq_Z', byObject), clock: { createdAtMs: 1, rank: 7, eventId: 'evt_z' } }
  const newer = { ...claim('inq_A', included), clock: { createdAtMs: 2, rank: 0, eventId: 'evt_a' } }
  t.ok(compareClockedClaims(newer, older) > 0)
  t.ok(compareClockedClaims(older, newer) < 0)
  const sameEvent = { ...claim('inq_0', byObject), clock: newer.clock }
  t.ok(compareClockedClaims(sameEvent, newer) > 0)
  t.equal(compareClockedClaims(newer, { ...newer }), 0)
})
