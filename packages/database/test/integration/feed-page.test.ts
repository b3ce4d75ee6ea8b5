import { readFile } from 'node:fs/promises'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { Client } from 'pg'
import t from 'tap'
import { makeChangeTick, openDatabase } from '../../src/index.ts'

const page = await readFile(new URL('../../../../docs/feed.md', import.meta.url), 'utf8')

/** The blocks of SQL below a heading of docs/feed.md. */
function blocksOf(heading: string): readonly string[] {
  const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? ''
  return [...section.matchAll(/^```sql\n([\s\S]*?)^```/gm)].map(([, block]) => block as string)
}

/** Runs a block as psql does: `\gset` keeps the columns of the row as variables, `:name` inserts one. */
async function runBlock(client: Client, block: string, variables: Map<string, unknown>): Promise<void> {
  for (const [, text = '', end] of block.matchAll(/([\s\S]+?)(;|\\gset)\s*(?:\n|$)/g)) {
    const statement = text.replaceAll(/(?<!:):([a-z_]+)/g, (_, name: string) => String(variables.get(name)))
    const { rows } = await client.query<Record<string, unknown>>(statement)
    if (end === '\\gset') for (const [name, value] of Object.entries(rows[0] ?? {})) variables.set(name, value)
  }
}

const { url, sql } = await throwAwayDatabase(t)
const database = openDatabase({ encryptionKeys: [], url })
t.teardown(() => database.close())

async function connect(): Promise<Client> {
  const client = new Client({ connectionString: url })
  await client.connect()
  return client
}

async function write(id: string, status: string): Promise<void> {
  await sql(
    `INSERT INTO inquiries (id, environment, status, tags, attributes, fields, relationships)
     VALUES ($1, 'production', $2, '{}', '{}', '{}', '{}') ON CONFLICT (id) DO UPDATE SET status = $2`,
    [id, status],
  )
}

/** Waits out the shortest time between two ticks. */
async function tick(): Promise<void> {
  for (;;) if ((await makeChangeTick(database)) !== 'early') return
}

const [once = '', round = '', listen = '', step = ''] = blocksOf('Read it in SQL')
const [again = ''] = blocksOf('Start again from the rows')
const decisions = () => sql('SELECT inquiry_id, status, version FROM decisions ORDER BY inquiry_id')
const client = await connect()
t.teardown(() => client.end())
const variables = new Map<string, unknown>()

t.test('the consumer of docs/feed.md takes what came after its first start', async (t) => {
  await write('inq_0', 'created')
  await tick()
  await runBlock(client, once, variables)
  await runBlock(client, listen, variables)
  const notified = new Promise((resolve) => client.once('notification', resolve))
  await write('inq_1', 'created')
  await tick()
  t.match(await notified, { channel: 'persona_changes', payload: '2' })
  await write('inq_1', 'pending')
  await tick()
  await runBlock(client, round, variables)
  t.same(await decisions(), [{ inquiry_id: 'inq_1', status: 'pending', version: '2' }])
  await runBlock(client, round, variables)
  t.same(await sql(`SELECT tick FROM change_consumers WHERE name = 'billing'`), [{ tick: '3' }])
})

t.test('a round that dies before its commit takes effect once, in the next round', async (t) => {
  await write('inq_1', 'approved')
  await tick()
  const other = await connect()
  await runBlock(other, round.replace('COMMIT;', ''), new Map())
  await other.end()
  t.match(await decisions(), [{ status: 'pending' }])
  await runBlock(client, round, variables)
  t.match(await decisions(), [{ status: 'approved', version: '3' }])
})

t.test('of two processes with one name the second waits, and then finds nothing new', async (t) => {
  await write('inq_1', 'declined')
  await tick()
  const other = await connect()
  t.teardown(() => other.end())
  const before = round.slice(0, round.indexOf('\\gset') + '\\gset\n'.length)
  await runBlock(client, before, variables)
  const second = runBlock(other, round, new Map())
  await runBlock(client, round.slice(before.length), variables)
  await second
  t.match(await decisions(), [{ status: 'declined', version: '4' }])
})

t.test('a step ends at a tick, and at null where there is no newer one', async (t) => {
  await runBlock(client, step, variables.set('after_tick', 0))
  t.equal(variables.get('up_to_tick'), '5')
  await runBlock(client, step, variables.set('after_tick', 5))
  t.equal(variables.get('up_to_tick'), null)
})

t.test('a consumer whose cursor has expired starts again from the rows', async (t) => {
  await sql('UPDATE change_feed SET timeline = timeline + 1')
  await tick()
  await t.rejects(runBlock(client, round, variables), { code: 'PX001' })
  await client.query('ROLLBACK')
  await runBlock(client, again, variables)
  t.match(await decisions(), [{ inquiry_id: 'inq_0' }, { inquiry_id: 'inq_1', status: 'declined', version: '4' }])
  await write('inq_0', 'expired')
  await tick()
  await runBlock(client, round, variables)
  t.match(await decisions(), [{ inquiry_id: 'inq_0', status: 'expired', version: '2' }, {}])
})

t.test('a write by hand is announced with the cause that a setting gives', async (t) => {
  const [byHand = ''] = blocksOf('Writes by hand')
  await sql(`UPDATE inquiries SET tags = '{a}' WHERE id = 'inq_1'`)
  await runBlock(client, byHand, variables)
  t.same(await sql(`SELECT cause FROM changes WHERE object_id = 'inq_1' ORDER BY seq DESC LIMIT 2`), [
    { cause: 'erasure' },
    { cause: 'rebuild' },
  ])
})

t.test('the feed works where the search path lacks its schema', async (t) => {
  const other = await connect()
  t.teardown(() => other.end())
  await other.query('SET search_path = pg_catalog')
  await other.query(`INSERT INTO public.resources (id, environment, type, claim_inquiry_id, attributes, relationships)
    VALUES ('rep_1', 'production', 'report/watchlist', 'inq_1', '{}', '{}')`)
  await other.query(`BEGIN; UPDATE public.resources SET status = 'a'; UPDATE public.resources SET status = 'b'; COMMIT`)
  await tick()
  const { rows } = await other.query(
    `SELECT * FROM public.changes_between(public.latest_change_tick() - 1, public.latest_change_tick())
     WHERE family = 'resource'`,
  )
  t.match(rows, [
    { version: '1', inquiry_id: 'inq_1' },
    { version: '2', status: 'b' },
  ])
})

t.test('PostgreSQL takes the publication for Debezium', async (t) => {
  const [publication = ''] = blocksOf('Kafka, by Debezium')
  await runBlock(client, publication, variables)
  t.same(await sql('SELECT tablename FROM pg_publication_tables'), [{ tablename: 'changes' }])
})
