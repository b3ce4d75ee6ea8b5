import { buildLifecycle, type SimulatedEvent } from '@persona-ingest/simulator'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'
import { startExample } from '../fixtures/run-example.ts'
import { storeSimulated } from '../fixtures/store-simulated.ts'

/** The order of the timeline: events of one millisecond by their ids. */
const byClock = (left: SimulatedEvent, right: SimulatedEvent) =>
  left.createdAtMs - right.createdAtMs || (left.id < right.id ? -1 : 1)

t.test('each event is printed once, a late one too, until the inquiry is decided', async (t) => {
  const { url } = await throwAwayDatabase(t)
  const events = buildLifecycle({ scenario: 'declined', seed: 'followed', startAtMs: Date.UTC(2026, 1, 3) })
  const [created, started, ...rest] = events
  if (created === undefined || started === undefined) throw new Error('Expected an inquiry of several events')
  const example = await startExample('follow-one-inquiry', {
    args: [created.inquiryId],
    env: { DATABASE_URL: url },
  })
  await storeSimulated(url, [started])
  await example.waitForLine((line) => line.includes('inquiry.started'))
  await storeSimulated(url, [created])
  await example.waitForLine((line) => line.includes('inquiry.created'))
  await storeSimulated(url, rest)

  t.equal((await example.exit).code, 0)
  const rows = example.lines.map((line) => JSON.parse(line))
  t.same(
    rows.map((row) => row.event_id),
    [started.id, created.id, ...rest.toSorted(byClock).map(({ id }) => id)],
  )
  t.same(
    rows.slice(0, 2).map((row) => row.out_of_order),
    [false, true],
  )
  t.equal(rows.at(-1).status, 'declined')
})
