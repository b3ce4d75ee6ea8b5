import { eventually } from '@persona-ingest/testkit'
import t from 'tap'
import { repeatedly } from '../../src/upkeep.ts'

t.test('work is done again after it ended, never twice at once, also when it fails', async (t) => {
  let running = 0
  let most = 0
  let runs = 0
  const errors: unknown[] = []
  const work = async () => {
    running += 1
    runs += 1
    most = Math.max(most, running)
    await new Promise((resolve) => setTimeout(resolve, 5))
    running -= 1
    if (runs === 2) throw new Error('broken')
  }
  const stop = repeatedly({ pauseMs: 1, work, onError: (error) => errors.push(error) })
  await eventually(() => runs >= 4)
  t.equal(most, 1)
  t.match(errors, [{ message: 'broken' }])
  stop()
  const before = runs
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.equal(runs, before, 'stopped, also where it was under way')
})

t.test('a function gives each pause anew', async (t) => {
  let runs = 0
  const work = async () => void (runs += 1)
  const stop = repeatedly({ pauseMs: () => (runs < 3 ? 1 : 60_000), work, onError: (error) => t.fail(String(error)) })
  await eventually(() => runs === 3)
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.equal(runs, 3)
  stop()
})
