import { NO_KEYS } from '@persona-ingest/core'
import t from 'tap'
import { eventChunks, portionSql, readInPortions, type EventSize } from '../../src/log/read-in-portions.ts'
import { statementName, type SqlExecutor } from '../../src/sql/executor.ts'

const sizes = (...bytes: readonly number[]): readonly EventSize[] =>
  bytes.map((each, index) => ({ id: `evt_${index}`, bytes: each }))

/** The sizes of the chunks, in events. */
const countsOf = (events: readonly EventSize[], maxBytes?: number): readonly number[] =>
  [...eventChunks(events, maxBytes)].map((chunk) => chunk.length)

t.test('a chunk holds what fits into its bytes', async (t) => {
  t.strictSame(countsOf(sizes(4, 4, 4, 4), 8), [2, 2])
  t.strictSame(countsOf(sizes(4, 4, 1, 8), 8), [2, 1, 1])
  t.strictSame(countsOf(sizes(4, 5, 4), 8), [1, 1, 1])
  t.strictSame(countsOf(sizes(0, 0, 8), 8), [3])
})

t.test('an event that exceeds the bytes has a chunk of its own', async (t) => {
  t.strictSame(countsOf(sizes(9), 8), [1])
  t.strictSame(countsOf(sizes(1, 9, 1), 8), [1, 1, 1])
})

t.test('a chunk holds 250 events and 1,000,000 bytes at most', async (t) => {
  t.strictSame(countsOf(sizes(...Array.from({ length: 501 }, () => 1))), [250, 250, 1])
  t.strictSame(countsOf(sizes(600_000, 400_000, 1)), [2, 1])
})

t.test('no events give no chunk', async (t) => {
  t.strictSame([...eventChunks([])], [])
})

t.test('chunks hold every event once, in the given order', async (t) => {
  const events = sizes(...Array.from({ length: 700 }, (_, index) => (index * 7919) % 5000))
  t.strictSame([...eventChunks(events, 9000)].flat(), events.map(({ id }) => id)) // prettier-ignore
})

/** Gives payloads until their bytes exceed the limit, as the statement does; notes the ids that it is asked for. */
function anExecutor(events: readonly EventSize[], maxBytes: number) {
  const asked: (readonly string[])[] = []
  const executor: SqlExecutor = {
    keys: NO_KEYS,
    async query<Row>(_sql: string, [ids]: readonly unknown[]) {
      const selected = events.filter(({ id }) => (ids as readonly string[]).includes(id))
      asked.push(ids as readonly string[])
      let through = 0
      return selected.map(({ id, bytes }) => {
        through += bytes
        return { id, bytes, payload: through <= maxBytes || through === bytes ? '{}' : null }
      }) as unknown as readonly Row[]
    },
  }
  return { executor, asked }
}

const MAX_TEXT_BYTES = 2_100_000

t.test('events whose payloads do not fit are read in further portions, each event once', async (t) => {
  const events = sizes(1_000_000, 1_000_000, 1_000_000, 1_000_000, 3_000_000, 10, 10)
  const { executor, asked } = anExecutor(events, MAX_TEXT_BYTES)
  const portions: (readonly string[])[] = []
  const ids = events.map(({ id }) => id)
  for await (const rows of readInPortions<{ id: string; payload: string }>(executor, 'SELECT', ids))
    portions.push(rows.map(({ id }) => id))
  t.strictSame(portions.flat().toSorted(), ids)
  t.strictSame(portions[0], ['evt_0', 'evt_1'])
  t.strictSame(asked[0], ids)
  t.ok(asked.slice(1).every((chunk) => chunk.length < ids.length))
  t.notOk(
    portions.some((portion) => portion.includes('evt_4') && portion.length > 1),
    'the large one stands alone',
  )
})

t.test('events that fit are read at once, and an id that is not in the log gives no row', async (t) => {
  const { executor, asked } = anExecutor(sizes(1, 2), MAX_TEXT_BYTES)
  const portions = []
  for await (const rows of readInPortions(executor, 'SELECT', ['evt_0', 'evt_1', 'gone'])) portions.push(rows.length)
  t.strictSame(portions, [2])
  t.equal(asked.length, 1)
})

t.test('the statement of a portion is kept prepared, one for each set of columns', async (t) => {
  const [narrow, wide] = [portionSql('id'), portionSql('id, name')]
  const names = [narrow, wide, portionSql('id')].map((sql) => statementName({ sql }))
  t.match(names[0], /^persona_ingest_[0-9a-f]{16}$/)
  t.equal(names[0], names[2])
  t.not(names[0], names[1])
  t.equal(statementName({ sql: 'SELECT 1' }), '')
})
