import t from 'tap'
import { Random } from '../../src/random.ts'

t.test('the same seed gives the same numbers, another seed others', async (t) => {
  const draw = (seed: string) => {
    const random = new Random(seed)
    return Array.from({ length: 5 }, () => random.fraction())
  }
  t.strictSame(draw('a'), draw('a'))
  t.notSame(draw('a'), draw('b'))
  t.notSame(draw('seed/1'), draw('seed/11'))
})

t.test('numbers are spread evenly between their ends', async (t) => {
  const random = new Random('spread')
  const counts = new Map<number, number>()
  for (let draw = 0; draw < 6000; draw += 1) {
    const face = random.integer(1, 6)
    counts.set(face, (counts.get(face) ?? 0) + 1)
  }
  t.strictSame(
    [...counts.keys()].toSorted((left, right) => left - right),
    [1, 2, 3, 4, 5, 6],
  )
  for (const count of counts.values()) t.ok(count > 850 && count < 1150, `${count} of 6000`)
})

t.test('ids look like those of the provider and do not repeat', async (t) => {
  const ids = new Set<string>()
  for (let seed = 0; seed < 20_000; seed += 1) ids.add(new Random(`ids/${seed}`).id('evt'))
  t.equal(ids.size, 20_000)
  for (const id of [...ids].slice(0, 50)) t.match(id, /^evt_[1-9A-HJ-NP-Za-km-z]{28}$/)
})
