// How Prisma behaves without what `src/migration/schema-engine.ts` and `src/sql/failure.ts` do about it. A test that fails
// says that this may go.
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import * as engine from '@prisma/schema-engine-wasm/schema_engine_bg'
import { Client, Pool } from 'pg'
import t from 'tap'
import { PrismaClient } from '../../src/generated/client.ts'
import { readMigrations } from '../../src/migration/migrate.ts'
import { loadEngine } from '../../src/migration/schema-engine.ts'

const { url } = await throwAwayDatabase(t, { migrate: false })
const [major = 0] = process.versions.node.split('.').map(Number)

/** Timers that the engine has set and not cleared. */
const timers = new Set<unknown>()

function importsWithRecordedTimers(): Record<string, unknown> {
  const recorded: Record<string, unknown> = { ...engine }
  for (const name of Object.keys(engine)) {
    if (name.startsWith('__wbg_setTimeout_'))
      recorded[name] = (callback: () => void, ms: number) => {
        const timer = setTimeout(callback, ms).unref()
        timers.add(timer)
        return timer
      }
    if (name.startsWith('__wbg_clearTimeout_'))
      recorded[name] = (timer: NodeJS.Timeout) => {
        clearTimeout(timer)
        timers.delete(timer)
        return timer
      }
  }
  return recorded
}

/** A pool whose connections can't be opened. */
function failingPool(thrown: Error): Pool {
  class Failing extends Client {
    // pg-pool passes a callback.
    override connect = ((onConnect: (error: unknown) => void) => onConnect(thrown)) as unknown as Client['connect']
  }
  return new Pool({ connectionString: url, Client: Failing })
}

async function applyNothing(pool: Pool): Promise<void> {
  const adapter = bindMigrationAwareSqlAdapterFactory(new PrismaPg(pool))
  try {
    const opened = await engine.SchemaEngine.new({ datamodels: undefined }, () => undefined, adapter)
    const migrationsList = { ...(await readMigrations()), migrationDirectories: [] }
    await opened.applyMigrations({ migrationsList, filters: { externalTables: [], externalEnums: [] } })
  } finally {
    await pool.end()
  }
}

t.test(
  'the entry of the schema engine does not load',
  { skip: major > 22 && 'loads .wasm without a flag' },
  async (t) => {
    await t.rejects(import('@prisma/schema-engine-wasm'), { code: 'ERR_UNKNOWN_FILE_EXTENSION' })
  },
)

t.test('the schema engine leaves a timer behind, and numbers the errors of the driver', async (t) => {
  await loadEngine(importsWithRecordedTimers())
  await applyNothing(new Pool({ connectionString: url, max: 1 }))
  t.not(timers.size, 0)
  await t.rejects(applyNothing(failingPool(new Error('of the connection'))), { message: /External error id#\d+/ })
})

t.test('the adapter cuts a script within the body of a function', async (t) => {
  const adapter = await new PrismaPg({ connectionString: url }).connect()
  t.teardown(() => adapter.dispose())
  await t.rejects(adapter.executeScript('DO $$ BEGIN PERFORM 1; PERFORM 2; END $$;'))
})

t.test("Prisma's client replaces an error that has a code", async (t) => {
  for (const properties of [{}, { code: 'SOME_CODE' }]) {
    const thrown = Object.assign(new Error('of the connection'), properties)
    const prisma = new PrismaClient({ adapter: new PrismaPg(failingPool(thrown)) })
    const caught: unknown = await prisma.$queryRawUnsafe('SELECT 1').then(null, (error: unknown) => error)
    t.equal(caught === thrown, !('code' in properties))
    await prisma.$disconnect()
  }
})
