import t from 'tap'
import { retryBackoff } from '../../src/finish-job.ts'

const noJitter = () => 0

t.test('pauses double from one second with the default of ten attempts', async (t) => {
  const backoff = retryBackoff(10, noJitter)
  t.strictSame(
    [1, 2, 3, 4, 5, 6, 7, 8, 9].map(backoff),
    [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000],
  )
})

t.test('all pauses of one delivery stay within nine minutes, however many attempts there are', async (t) => {
  for (const maxAttempts of [1, 2, 3, 10, 11, 25, 100, 1000]) {
    const backoff = retryBackoff(maxAttempts, noJitter)
    let sumMs = 0
    let lastMs = 0
    for (let attempt = 1; attempt < maxAttempts; attempt += 1) {
      const pauseMs = backoff(attempt)
      t.ok(pauseMs >= lastMs - 1, 'a pause is not shorter than the one before')
      sumMs += pauseMs
      lastMs = pauseMs
    }
    t.ok(sumMs <= 540_000, `${maxAttempts} attempts rest ${sumMs} ms`)
  }
})

t.test('jitter only shortens, by a fifth at most', async (t) => {
  t.equal(retryBackoff(10, () => 0.999_999)(3), 3200)
  const backoff = retryBackoff(10)
  for (let sample = 0; sample < 200; sample += 1) {
    const pauseMs = backoff(3)
    t.ok(pauseMs >= 3200 && pauseMs <= 4000)
  }
})

t.test('beyond the last attempt the last pause repeats', async (t) => {
  const backoff = retryBackoff(4, noJitter)
  t.equal(backoff(3), 4000)
  t.equal(backoff(50), 4000)
  t.equal(retryBackoff(1, noJitter)(1), 1000)
})
