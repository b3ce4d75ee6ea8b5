import t from 'tap'
import { storeEvents } from '../../src/index.ts'
import { openMaintenance } from '../../src/sql/maintenance-connection.ts'
import { SessionClient, sessionOptions } from '../../src/sql/session.ts'
import { aDatabase, read } from '../fixtures/a-database.ts'
import { anEvent, bodyOf } from '../fixtures/an-event.ts'

const DEADLINE_MS = 120_000
const never = new Promise<never>(() => undefined)

const event = () => read({ body: bodyOf(anEvent()) })

/** Stores an event as a worker does: a statement that ran into its timeout is tried again. Tells how long it took. */
async function storedAfterMs(prisma: Parameters<typeof storeEvents>[0]): Promise<number> {
  const begunAtMs = performance.now()
  while (performance.now() - begunAtMs < DEADLINE_MS) {
    const isStored = await storeEvents(prisma, [event()]).then(
      () => true,
      () => false,
    )
    if (isStored) return performance.now() - begunAtMs
  }
  return Infinity
}

t.test('a maintenance process that is suspended in a transaction holds events off for half a minute', async (t) => {
  const { url, opened } = await aDatabase(t)
  const connection = await openMaintenance({ databaseUrl: url, encryptionKeys: [] }, 'public')
  t.teardown(() => connection.close())
  const begun = new Promise<void>((resolve) => {
    const work = async () => {
      await connection.query('SELECT begin_exclusive_write()', [])
      resolve()
      return never
    }
    void connection.transaction('latest', work).catch(() => undefined)
  })
  await begun
  t.ok((await storedAfterMs(opened)) < 60_000)
})

t.test('a process that is suspended with an answer half read holds events off for a minute and a half', async (t) => {
  const { url, opened } = await aDatabase(t)
  const client = new SessionClient(sessionOptions(url, { statement_timeout: '0' }))
  await client.connect()
  const { stream } = (client as unknown as { connection: { stream: NodeJS.ReadableStream & { destroy(): void } } })
    .connection
  t.teardown(() => stream.destroy())
  await client.query('BEGIN')
  await client.query('SELECT begin_exclusive_write()')
  void client.query(`SELECT repeat('x', 1000000) FROM generate_series(1, 200)`).catch(() => undefined)
  stream.pause()
  t.ok((await storedAfterMs(opened)) < 100_000)
})
