import t from 'tap'
import { Batcher, Deadline, type BatcherOptions } from '../../src/index.ts'

type Item = { readonly key: string; readonly size?: number }
type Batch = {
  readonly keys: readonly string[]
  report(key: string, result?: string): void
  finish(): void
  fail(error: Error): void
}

const pass = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
const items = (...keys: readonly string[]): readonly Item[] => keys.map((key) => ({ key }))

/** A batcher whose batches end when the test says so. */
function aBatcher(options: Partial<BatcherOptions<Item, string>> = {}) {
  const batches: Batch[] = []
  const batcher = new Batcher<Item, string>({
    keyOf: ({ key }) => key,
    maxInFlight: 1,
    maxItems: 100,
    limits: [],
    process: (batch, report) =>
      new Promise((resolve, reject) => {
        batches.push({
          keys: batch.map(({ key }) => key),
          report: (key, result = 'done') => report(key, result),
          finish: () => {
            for (const { key } of batch) report(key, 'done')
            resolve()
          },
          fail: reject,
        })
      }),
    ...options,
  })
  const addAll = (all: readonly Item[]) => all.map((item) => batcher.add(item))
  return { batcher, batches, addAll, sizes: () => batches.map(({ keys }) => keys.length) }
}

t.test('an idle batcher processes an item at once, alone', async (t) => {
  const { batcher, batches } = aBatcher()
  const result = batcher.add({ key: 'a' })
  await pass()
  t.strictSame(batches.map(({ keys }) => keys), [['a']]) // prettier-ignore
  batches[0]?.finish()
  t.equal(await result, 'done')
})

t.test('items that arrive while a batch is in flight share the next one', async (t) => {
  const { addAll, batches } = aBatcher()
  addAll(items('a'))
  await pass()
  addAll(items('b', 'c'))
  await pass()
  t.equal(batches.length, 1)
  batches[0]?.finish()
  await pass()
  t.strictSame(batches.map(({ keys }) => keys), [['a'], ['b', 'c']]) // prettier-ignore
})

t.test('a batch has at most its number of items and its limits; a heavy item forms one alone', async (t) => {
  const { addAll, sizes } = aBatcher({
    maxInFlight: 9,
    maxItems: 2,
    limits: [{ sizeOf: ({ size = 0 }) => size, max: 10 }],
  })
  addAll([{ key: 'a' }, { key: 'b' }, { key: 'c', size: 11 }, { key: 'd', size: 6 }, { key: 'e', size: 5 }])
  await pass()
  t.strictSame(sizes(), [2, 1, 1, 1])
})

t.test('a key stands once in a batch, and each caller gets a result', async (t) => {
  const { addAll, batches } = aBatcher({ repeatedResult: (result) => `${result} again` })
  const results = addAll(items('a', 'b', 'a'))
  await pass()
  t.strictSame(batches[0]?.keys, ['a', 'b'])
  batches[0]?.finish()
  t.strictSame(await Promise.all(results), ['done', 'done', 'done again'])
})

t.test('a result that is known is told before the batch ends', async (t) => {
  const { addAll, batches } = aBatcher()
  const [first] = addAll(items('a', 'b'))
  await pass()
  batches[0]?.report('a', 'early')
  t.equal(await first, 'early')
})

t.test('a failed batch rejects what is not known yet and nothing else', async (t) => {
  const { addAll, batches } = aBatcher()
  const [first, second] = addAll(items('a', 'b'))
  await pass()
  batches[0]?.report('a')
  batches[0]?.fail(new Error('lost'))
  await t.rejects(second as Promise<string>, { message: 'lost' })
  t.equal(await first, 'done')
  addAll(items('c'))
  await pass()
  t.equal(batches.length, 2, 'the next batch goes on')
})

t.test('an item that waits past its deadline is never processed; one in flight goes on', async (t) => {
  const { batcher, batches } = aBatcher()
  const deadline = new Deadline(1000)
  const inFlight = batcher.add({ key: 'a' }, deadline)
  await pass()
  const waiting = batcher.add({ key: 'b' }, deadline)
  const other = batcher.add({ key: 'c' })
  deadline.exceed()
  await t.rejects(waiting, { code: 'DEADLINE_EXCEEDED' })
  batches[0]?.finish()
  t.equal(await inFlight, 'done')
  await pass()
  t.strictSame(batches[1]?.keys, ['c'])
  batches[1]?.finish()
  t.equal(await other, 'done')
})

t.test('an item whose deadline is exceeded already is refused', async (t) => {
  const { batcher, batches } = aBatcher()
  const deadline = new Deadline(1000)
  deadline.exceed()
  await t.rejects(batcher.add({ key: 'a' }, deadline), { code: 'DEADLINE_EXCEEDED' })
  await pass()
  t.equal(batches.length, 0)
})

t.test('the place of a batch is free after its pause only', async (t) => {
  const { addAll, batches } = aBatcher({ restMs: () => 30 })
  addAll(items('a'))
  await pass()
  const endedAtMs = performance.now()
  batches[0]?.finish()
  addAll(items('b'))
  await pass()
  t.equal(batches.length, 1)
  while (batches.length < 2) await new Promise((resolve) => setTimeout(resolve, 2))
  t.ok(performance.now() - endedAtMs >= 25)
})
