import t from 'tap'
import {
  type Claim,
  claimStrength,
  type Clock,
  compareBytes,
  compareClaims,
  compareClockedClaims,
  compareClocks,
  eventRank,
} from '../../src/last-write-wins.ts'

// @see docs/contract.md#4-database-postgresql-schema-public
t.test('the ranks are the documented ones, and every other name has 0', async (t) => {
  const ranks = {
    'inquiry.created': 1,
    'inquiry.started': 2,
    'inquiry.transitioned': 3,
    'inquiry.completed': 4,
    'inquiry.failed': 4,
    'inquiry.expired': 4,
    'inquiry.marked-for-review': 5,
    'inquiry.approved': 6,
    'inquiry.declined': 6,
    'inquiry.redacted': 7,
    'verification.created': 1,
    'verification.submitted': 2,
    'verification.passed': 4,
    'verification.failed': 4,
    'verification.requires-retry': 4,
    'verification.canceled': 4,
    'verification.skipped': 4,
    'verification.escalated': 0,
    'verification.tentatively-passed': 0,
    'verification.approved': 0,
    'verification.redacted': 0,
    'inquiry.updated-tags': 0,
    'inquiry.needs_review': 0,
    'inquiry.marked_for_review': 0,
    'inquiry-session.started': 0,
    'case.created': 0,
    'account.redacted': 0,
    'report/watchlist.ready': 0,
    'Inquiry.Created': 0,
    constructor: 0,
    '': 0,
  }
  for (const [name, rank] of Object.entries(ranks)) t.equal(eventRank(name), rank, name)
  t.equal(eventRank('__proto__'), 0)
})

t.test('texts compare byte by byte in UTF-8', async (t) => {
  const ascending = ['', '-', '0', '9', 'A', 'Z', '_', 'a', 'aa', 'b', 'z', 'é', '花', '～', '😀']
  for (const [index, left] of ascending.entries())
    for (const [other, right] of ascending.entries())
      t.equal(Math.sign(compareBytes(left, right)), Math.sign(index - other), `${left} ${right}`)
  t.equal(ascending.toSorted().at(-1), '～', 'JavaScript orders the last two the other way round')
})

t.test('time decides before rank, and rank before id', async (t) => {
  const ascending: readonly Clock[] = [
    { createdAtMs: -1, rank: 7, eventId: 'z' },
    { createdAtMs: 0, rank: 0, eventId: 'a' },
    { createdAtMs: 0, rank: 0, eventId: 'b' },
    { createdAtMs: 0, rank: 1, eventId: 'a' },
    { createdAtMs: 1, rank: 0, eventId: 'A' },
    { createdAtMs: 1, rank: 0, eventId: 'a' },
  ]
  for (const [index, left] of ascending.entries())
    for (const [other, right] of ascending.entries())
      t.equal(Math.sign(compareClocks(left, right)), Math.sign(index - other), `${index} ${other}`)
})

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
