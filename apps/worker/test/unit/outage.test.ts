import t, { type Test } from 'tap'
import { Outage } from '../../src/outage.ts'

function anOutage() {
  const shutdown = new AbortController()
  const changes: (readonly [boolean, string])[] = []
  const onChange = (isOut: boolean, description: string) => void changes.push([isOut, description])
  return { outage: new Outage({ shutdown: shutdown.signal, onChange }), shutdown, changes }
}

/** How long each of `count` waits takes, in ms. */
async function waitsOf(t: Test, outage: Outage, count: number): Promise<readonly number[]> {
  const waits: number[] = []
  for (let index = 0; index < count; index += 1) {
    const startedAt = performance.now()
    t.equal(await outage.wait('away'), true)
    waits.push(performance.now() - startedAt)
  }
  return waits
}

t.test('an outage is told once, and its end once', async (t) => {
  const { outage, changes } = anOutage()
  t.equal(outage.isOut, false)
  await outage.wait('away')
  await outage.wait('still away')
  t.equal(outage.isOut, true)
  outage.end()
  outage.end()
  t.equal(outage.isOut, false)
  t.strictSame(changes, [
    [true, 'away'],
    [false, ''],
  ])
})

t.test('waits double from 0.1 s, less a jitter of half, and begin anew after an end', async (t) => {
  const { outage } = anOutage()
  const rounds: (readonly number[])[] = []
  for (let round = 0; round < 4; round += 1) {
    rounds.push(await waitsOf(t, outage, 3))
    outage.end()
  }
  for (const index of [0, 1, 2]) {
    // Of those after an end, the shortest of three: a machine that stalls makes waits longer, never shorter.
    const wait = Math.min(...rounds.slice(1).map((waits) => waits[index] ?? Number.NaN))
    const longest = 100 * 2 ** index
    t.ok(wait >= longest / 2 - 2 && wait < longest + 80, `${wait} ms`)
  }
})

t.test('a shutdown ends a wait at once, and every later one', async (t) => {
  const { outage, shutdown } = anOutage()
  for (let index = 0; index < 3; index += 1) await outage.wait('away')
  const startedAt = performance.now()
  const waiting = outage.wait('away')
  shutdown.abort()
  t.equal(await waiting, false)
  t.equal(await outage.wait('away'), false)
  t.ok(performance.now() - startedAt < 200)
})

t.test('stored events are counted, and end an outage; duplicates end it, and count as an answer only', async (t) => {
  const { outage } = anOutage()
  await outage.wait('away')
  outage.noteStored([])
  t.equal(outage.isOut, false)
  outage.noteStored(['evt_1', 'evt_2'])
  outage.noteAnswer()
  t.equal(outage.loneFailures.stored, 2)
  t.equal(outage.answers, 3)
})
