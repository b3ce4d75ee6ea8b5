import { readEvent, type PersonaEvent } from '@persona-ingest/persona'
import t from 'tap'
import type { StoreVerdict } from '../../src/store-batch.ts'
import { GroupCommit, type GroupCommitOptions } from '../../src/commit.ts'
import { eventBody } from '../fixtures/an-event.ts'

const anEvent = (id: string, attributes: object = {}): PersonaEvent =>
  readEvent({ body: eventBody({ id, attributes }), environment: 'production', receivedAtMs: Date.now() })
const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `evt_${from + index}`)

type Batch = { readonly ids: readonly string[]; tell(id: string): void; finish(): void; fail(error: Error): void }

/** A group commit whose batches end when the test says so. */
function aGroupCommit(options: Partial<GroupCommitOptions> = {}) {
  const batches: Batch[] = []
  const group = new GroupCommit({
    maxInFlight: 2,
    maxBatchSize: 200,
    maxBatchCharacters: 8_000_000,
    maxBatchObjects: 4_000,
    storeBatch: (events, tell) =>
      new Promise((resolve, reject) => {
        const verdict: StoreVerdict = { verdict: 'stored', outcome: 'applied', batchSize: events.length }
        batches.push({
          ids: events.map((event) => event.id),
          tell: (id) => tell(id, verdict),
          finish: () => {
            for (const event of events) tell(event.id, verdict)
            resolve()
          },
          fail: reject,
        })
      }),
    ...options,
  })
  const add = (id: string, attributes: object = {}) => group.add(anEvent(id, attributes))
  /** Resolves when the pass of the event loop in which batches are cut is over. */
  const pass = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  return { add, group, addAll: (all: readonly string[]) => all.map((id) => add(id)), batches, pass }
}

t.test('an idle worker writes an event at once, alone', async (t) => {
  const { add, batches, pass } = aGroupCommit()
  const verdict = add('evt_1')
  await pass()
  t.strictSame(batches.map((batch) => batch.ids), [['evt_1']]) // prettier-ignore
  batches[0]?.finish()
  t.strictSame(await verdict, { verdict: 'stored', outcome: 'applied', batchSize: 1 })
})

t.test('what comes in one pass of the event loop shares a batch', async (t) => {
  const { addAll, batches, pass } = aGroupCommit()
  addAll(ids(0, 7))
  await pass()
  t.strictSame(batches.map((batch) => batch.ids), [ids(0, 7)]) // prettier-ignore
})

t.test('while batches are on their way, what comes gathers into the next one', async (t) => {
  const { add, addAll, batches, pass } = aGroupCommit()
  add('evt_a')
  await pass()
  add('evt_b')
  await pass()
  for (const id of ids(0, 5)) {
    add(id)
    await pass()
  }
  t.equal(batches.length, 2, 'two in flight at most')
  batches[1]?.finish()
  await pass()
  t.strictSame(batches[2]?.ids, ids(0, 5))
  addAll(ids(5, 9))
  batches[0]?.finish()
  await pass()
  t.strictSame(batches[3]?.ids, ids(5, 9))
})

t.test('a batch ends at its size, and at its weight; an event above the weight goes alone', async (t) => {
  const { addAll, add, batches, pass } = aGroupCommit({ maxBatchSize: 3, maxBatchCharacters: 2000, maxInFlight: 100 })
  addAll(ids(0, 7))
  add('evt_heavy', { note: 'x'.repeat(5000) })
  add('evt_half', { note: 'x'.repeat(1200) })
  add('evt_other_half', { note: 'x'.repeat(1200) })
  await pass()
  t.strictSame(batches.map((batch) => batch.ids), [
    ids(0, 3), ids(3, 6), ['evt_6'], ['evt_heavy'], ['evt_half'], ['evt_other_half'],
  ]) // prettier-ignore
})

t.test('a batch ends at its objects; a wide event goes alone', async (t) => {
  const { addAll, group, batches, pass } = aGroupCommit({ maxBatchObjects: 6, maxInFlight: 100 })
  const included = Array.from({ length: 10 }, (_, index) => ({ type: 'report', id: `rep_${index}`, attributes: {} }))
  const wide = readEvent({ body: eventBody({ id: 'evt_wide', included }), environment: 'production', receivedAtMs: Date.now() }) // prettier-ignore
  addAll(ids(0, 4))
  void group.add(wide)
  addAll(ids(4, 6))
  await pass()
  t.strictSame(batches.map((batch) => batch.ids), [ids(0, 4), ['evt_wide'], ids(4, 6)]) // prettier-ignore
})

t.test('a batch that fails beyond all expectation rejects its own events only, and stops nothing', async (t) => {
  const { add, batches, pass } = aGroupCommit({ maxInFlight: 1 })
  const failing = add('evt_1')
  await pass()
  const next = add('evt_2')
  batches[0]?.fail(new Error('unexpected'))
  await t.rejects(failing, { message: 'unexpected' })
  await pass()
  batches[1]?.finish()
  t.match(await next, { verdict: 'stored' })
})

t.test('an event is settled as soon as it is known what became of it, while its batch goes on', async (t) => {
  const { addAll, batches, pass } = aGroupCommit()
  const [first, second] = addAll(['evt_1', 'evt_2'])
  await pass()
  batches[0]?.tell('evt_2')
  t.match(await second, { verdict: 'stored' })
  batches[0]?.finish()
  t.match(await first, { verdict: 'stored' })
})

t.test('of two deliveries of an event in one batch, one is a duplicate', async (t) => {
  const { addAll, batches, pass } = aGroupCommit()
  const verdicts = addAll(['evt_1', 'evt_2', 'evt_1'])
  await pass()
  batches[0]?.finish()
  t.match(await Promise.all(verdicts), [{ outcome: 'applied' }, { outcome: 'applied' }, { outcome: 'duplicate' }])
})

t.test(
  'where a batch is followed by a rest, the next ones gather meanwhile; the first waits for nothing',
  async (t) => {
    const { add, batches, pass } = aGroupCommit({ maxInFlight: 1, restAfter: () => 50 })
    add('evt_1')
    await pass()
    t.equal(batches.length, 1)
    batches[0]?.finish()
    await pass()
    add('evt_2')
    await pass()
    add('evt_3')
    await pass()
    t.equal(batches.length, 1, 'it rests')
    await new Promise((resolve) => setTimeout(resolve, 80))
    await pass()
    t.strictSame(batches.at(1)?.ids, ['evt_2', 'evt_3'])
  },
)
