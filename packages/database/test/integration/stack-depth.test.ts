import { UnusableEventError } from '@persona-ingest/persona'
import t from 'tap'
import { failureOf } from '../../src/index.ts'
import { aDatabase, read } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf } from '../fixtures/an-event.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'

const MAX_NESTING = 1_000
const VALUE = 'DEEP'
/** The levels that the event has around the value. */
const LEVELS_AROUND = 6

/** An event whose document has so many levels. */
function ofLevels(levels: number, id: string): Buffer {
  const added = levels - LEVELS_AROUND
  const data = anObject('inquiry', `inq_${id}`, { attributes: { status: 'approved', deep: VALUE } })
  const text = bodyOf(anEvent({ id, data })).toString()
  return Buffer.from(text.replace(`"${VALUE}"`, `${'{"a":['.repeat(added / 2)}1${']}'.repeat(added / 2)}`))
}

t.test(
  'with the stack that PostgreSQL has by default, an event of all the levels that one may have is stored',
  async (t) => {
    const { deliver, url } = await aDatabase(t)
    t.throws(() => read({ body: ofLevels(MAX_NESTING + 2, 'evt_more') }), new UnusableEventError('NESTING_TOO_DEEP'))
    t.strictSame([...(await deliver({ body: ofLevels(MAX_NESTING, 'evt_1') }))], [['evt_1', 'applied']])
    t.strictSame(linesOf(await verified(url)), [])
  },
)

t.test('with the smallest max_stack_depth, the event that needs more is refused, and no other', async (t) => {
  const { deliver, url } = await aDatabase(t, { settings: { max_stack_depth: '100kB' } })
  const refused = await deliver({ body: ofLevels(MAX_NESTING, 'evt_deep') }).catch((error: unknown) => failureOf(error))
  t.match(refused, {
    kind: 'event',
    sqlState: '54001',
    description: 'nested too deeply for max_stack_depth of PostgreSQL (SQLSTATE 54001)',
  })
  t.strictSame([...(await deliver({ body: ofLevels(600, 'evt_1') }))], [['evt_1', 'applied']])
  t.strictSame(linesOf(await verified(url)), [])
})
