import type { StoreOutcomes } from '@persona-ingest/database'
import t from 'tap'
import { MemoryBudget } from '../../src/commit.ts'
import { aProcessContext, aStore } from '../fixtures/a-process-context.ts'
import { aDelivery, type EventParts } from '../fixtures/an-event.ts'

type Batch = { readonly ids: readonly string[]; finish(): void }

/** Resolves when the pass of the event loop in which batches are cut is over. */
const pass = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `evt_${from + index}`)
const idsOf = (batches: readonly Batch[]) => batches.map((batch) => batch.ids)

/** A commit over a database whose writes end when the test says so. */
function aCommit(memory = new MemoryBudget(2_000_000_000)) {
  const batches: Batch[] = []
  const store = aStore({
    storeEvents: (events) =>
      new Promise((resolve) => {
        const outcomes: StoreOutcomes = new Map(events.map(({ id }) => [id, 'applied']))
        batches.push({ ids: events.map(({ id }) => id), finish: () => resolve(outcomes) })
      }),
  })
  const { commit } = aProcessContext(store, { memory })
  const add = (id: string, parts: EventParts = {}) => {
    const delivery = aDelivery({ ...parts, id })
    if (delivery.kind !== 'event') throw new Error('Expected an event')
    return commit({ ...delivery, attemptsMade: 0, stalledCount: 0 })
  }
  const redact = (id: string) => add(id, { name: 'inquiry.redacted', attributes: { 'redacted-at': '2026-02-03' } })
  return { add, addAll: (all: readonly string[]) => all.map((id) => add(id)), redact, batches, memory }
}

t.test('events in flight at the same time share a write, two writes at once', async (t) => {
  const { add, addAll, batches } = aCommit()
  for (const id of ['evt_a', 'evt_b', 'evt_c', 'evt_d']) {
    void add(id)
    await pass()
  }
  t.strictSame(idsOf(batches), [['evt_a'], ['evt_b']])
  batches[0]?.finish()
  await pass()
  void addAll(['evt_e', 'evt_f'])
  batches[1]?.finish()
  await pass()
  t.strictSame(idsOf(batches).slice(2), [
    ['evt_c', 'evt_d'],
    ['evt_e', 'evt_f'],
  ])
})

t.test('redactions have writes of their own, and neither lane waits for the other', async (t) => {
  const { add, redact, batches } = aCommit()
  void add('evt_1')
  void redact('evt_2')
  void add('evt_3')
  await pass()
  t.strictSame(idsOf(batches), [['evt_1', 'evt_3'], ['evt_2']])
})

t.test('after a write of redactions the next one pauses four times as long as it took', async (t) => {
  const { redact, batches } = aCommit()
  void redact('evt_1')
  await pass()
  t.strictSame(idsOf(batches), [['evt_1']], 'a redaction that comes alone waits for nothing')
  void redact('evt_2')
  await new Promise((resolve) => setTimeout(resolve, 50))
  const finishedAtMs = performance.now()
  batches[0]?.finish()
  void redact('evt_3')
  while (batches.length < 2) await pass()
  t.ok(performance.now() - finishedAtMs >= 195)
  t.strictSame(batches[1]?.ids, ['evt_2', 'evt_3'])
})

t.test('a batch has at most 200 events', async (t) => {
  const { addAll, batches } = aCommit()
  void addAll(ids(0, 250))
  await pass()
  t.strictSame(idsOf(batches), [ids(0, 200), ids(200, 250)])
})

t.test('a batch ends at 4,000,000 characters; a larger event goes alone', async (t) => {
  const { add, addAll, batches } = aCommit()
  void addAll(['evt_a', 'evt_b'])
  void add('evt_large', { attributes: { note: 'x'.repeat(4_000_000) } })
  void add('evt_c')
  await pass()
  batches[0]?.finish()
  await pass()
  t.strictSame(idsOf(batches), [['evt_a', 'evt_b'], ['evt_large'], ['evt_c']])
})

t.test('a batch ends at 4,000 objects; a wider event goes alone', async (t) => {
  const { add, addAll, batches } = aCommit()
  const included = Array.from({ length: 4_000 }, (_, index) => ({ type: 'report', id: `rep_${index}`, attributes: {} }))
  void addAll(['evt_a', 'evt_b'])
  void add('evt_wide', { included })
  void add('evt_c')
  await pass()
  batches[0]?.finish()
  await pass()
  t.strictSame(idsOf(batches), [['evt_a', 'evt_b'], ['evt_wide'], ['evt_c']])
})

t.test('of two deliveries of an event in one batch, the first stores it and the second is a duplicate', async (t) => {
  const { addAll, batches } = aCommit()
  const committed = addAll(['evt_1', 'evt_2', 'evt_1'])
  await pass()
  t.strictSame(idsOf(batches), [['evt_1', 'evt_2']])
  batches[0]?.finish()
  const outcomes = ['applied', 'applied', 'duplicate'].map((outcome) => ({ verdict: { outcome, batchSize: 2 } }))
  t.match(await Promise.all(committed), outcomes)
})

t.test('memory is reserved before a body is read, and released with the verdict', async (t) => {
  const { add, batches, memory } = aCommit(new MemoryBudget(1))
  const committed = [add('evt_1'), add('evt_2')]
  await pass()
  t.ok(memory.taken() > 0)
  t.strictSame(idsOf(batches), [['evt_1']], 'an event above the limit goes alone')
  batches[0]?.finish()
  t.match(await committed[0], { verdict: { verdict: 'stored' } })
  await pass()
  batches[1]?.finish()
  t.match(await committed[1], { verdict: { verdict: 'stored' } })
  t.equal(memory.taken(), 0)
})
