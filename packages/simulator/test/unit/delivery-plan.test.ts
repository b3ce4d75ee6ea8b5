import t from 'tap'
import { placeOf, planDeliveries } from '../../src/delivery-plan.ts'
import { scenarios, type Shuffle } from '../../src/index.ts'
import { Random } from '../../src/random.ts'

function plan(inquiries: number, shuffle: Shuffle, duplicates = 0) {
  return planDeliveries({ inquiries, scenarios, duplicates, shuffle, random: new Random('plan') })
}
const sorted = (places: Uint32Array) => Array.from(places.toSorted())

t.test('in order: every event once, as it happened', async (t) => {
  const places = plan(100, 'none')
  t.strictSame([...places], sorted(places))
  t.equal(new Set(places).size, places.length)
  t.strictSame(placeOf(places[6] ?? 0), { inquiry: 1, index: 0 })
})

t.test('shuffled within inquiries: the same events, each near its place', async (t) => {
  const places = plan(100, 'inquiry')
  t.strictSame(sorted(places), sorted(plan(100, 'none')))
  t.notSame([...places], sorted(places))
  const inquiries = Array.from(places, (planned) => placeOf(planned).inquiry)
  t.strictSame(
    inquiries,
    inquiries.toSorted((left, right) => left - right),
  )
})

t.test('shuffled in full: the same events, far from their places', async (t) => {
  const places = plan(2000, 'full')
  t.strictSame(sorted(places), sorted(plan(2000, 'none')))
  const distances = Array.from(places, (planned, position) => Math.abs(placeOf(planned).inquiry - position / 7.2))
  t.ok(distances.reduce((sum, distance) => sum + distance, 0) / distances.length > 500)
})

t.test('duplicates come on top, after their first where the order is kept', async (t) => {
  for (const shuffle of ['none', 'inquiry', 'full'] as const) {
    const plain = plan(100, shuffle)
    const places = plan(100, shuffle, 0.25)
    t.equal(places.length, Math.round(plain.length * 1.25), shuffle)
    t.equal(new Set(places).size, plain.length, shuffle)
  }
})

t.test('the same seed gives the same plan', async (t) => {
  t.strictSame(plan(50, 'full', 0.1), plan(50, 'full', 0.1))
})

t.test('ten minutes at 200 a second are planned in a moment', async (t) => {
  const startedAt = performance.now()
  t.ok(plan(17_000, 'full', 0.1).length > 120_000)
  t.ok(performance.now() - startedAt < 2000)
})
