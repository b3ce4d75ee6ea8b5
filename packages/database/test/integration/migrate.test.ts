import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { eventually, throwAwayDatabase } from '@persona-ingest/testkit'
import { failureOf, migrate } from '../../src/index.ts'
import { prismaFolder, readMigrations } from '../../src/migration/migrate.ts'
import { partOf } from '../fixtures/part-of.ts'

const { server } = await throwAwayDatabase(t, { migrate: false })
const folder = join(prismaFolder, 'migrations')
const names = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name).toSorted() // prettier-ignore

let databases = 0
async function anEmptyDatabase() {
  const name = `empty_${(databases += 1)}`
  await server.sql(`CREATE DATABASE ${name}`)
  return { databaseUrl: server.url(name), sql: (text: string) => server.sql(text, [], name) }
}

t.test('an empty database gets every migration, in order; an up to date one gets none', async (t) => {
  const { databaseUrl, sql } = await anEmptyDatabase()
  t.strictSame(await migrate({ databaseUrl }), { applied: names })
  t.strictSame(await migrate({ databaseUrl }), { applied: [] })
  t.strictSame(await sql('SELECT id, epoch FROM ingest_state'), [{ id: 1, epoch: '0' }])
})

t.test('the throw-away database of other tests has every migration, recorded as by migrate', async (t) => {
  const { url, sql } = await throwAwayDatabase(t)
  t.strictSame(await migrate({ databaseUrl: url }), { applied: [] })
  const recorded = await sql('SELECT migration_name, checksum, applied_steps_count FROM _prisma_migrations ORDER BY 1')
  const empty = await anEmptyDatabase()
  await migrate(empty)
  t.strictSame(
    recorded,
    await empty.sql('SELECT migration_name, checksum, applied_steps_count FROM _prisma_migrations ORDER BY 1'),
  )
})

t.test('several at once: one migrates, the others wait and find nothing to do', async (t) => {
  const { databaseUrl, sql } = await anEmptyDatabase()
  const all = await Promise.all(Array.from({ length: 5 }, () => migrate({ databaseUrl })))
  t.strictSame(
    all.map(({ applied }) => applied.length).toSorted((left, right) => left - right),
    [0, 0, 0, 0, names.length],
  )
  t.strictSame(await sql('SELECT count(*)::int FROM _prisma_migrations'), [{ count: names.length }])
})

t.test('_prisma_migrations is as prisma migrate deploy leaves it', async (t) => {
  const { databaseUrl, sql } = await anEmptyDatabase()
  await migrate({ databaseUrl })
  const rows = await sql('SELECT * FROM _prisma_migrations ORDER BY started_at')
  for (const [index, name] of names.entries()) {
    const text = await readFile(join(folder, name, 'migration.sql'))
    const expected = {
      migration_name: name,
      checksum: createHash('sha256').update(text).digest('hex'),
      logs: null,
      rolled_back_at: null,
      applied_steps_count: 1,
    }
    t.strictSame(partOf(rows[index], expected), expected)
    t.ok(rows[index]?.['finished_at'] instanceof Date)
    t.match(rows[index]?.['id'], /^[0-9a-f-]{36}$/)
  }
  const columns = await sql(
    `SELECT column_name || ' ' || format_type(a.atttypid, a.atttypmod) AS line FROM information_schema.columns c
     JOIN pg_attribute a ON a.attrelid = '_prisma_migrations'::regclass AND a.attname = c.column_name
     WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position`,
  )
  t.strictSame(columns.map(({ line }) => line), [
    'id character varying(36)',
    'checksum character varying(64)',
    'finished_at timestamp with time zone',
    'migration_name character varying(255)',
    'logs text',
    'rolled_back_at timestamp with time zone',
    'started_at timestamp with time zone',
    'applied_steps_count integer',
  ]) // prettier-ignore
})

const relations = `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 'i' ORDER BY 1`

t.test('a migration that fails says why, leaves nothing behind, and goes through once that is mended', async (t) => {
  const { databaseUrl, sql } = await anEmptyDatabase()
  // The last statement of the migration fails: everything before it has run.
  await sql('CREATE SEQUENCE inquiry_timeline')
  for (const _ of [1, 2]) {
    const error = await migrate({ databaseUrl }).then(() => null, (thrown: unknown) => thrown) // prettier-ignore
    t.equal(failureOf(error).sqlState, '42P07')
    t.match((error as Error).message, 'inquiry_timeline')
    t.strictSame(
      (await sql(relations)).map(({ relname }) => relname),
      ['_prisma_migrations', 'inquiry_timeline'],
    )
  }
  await sql('DROP SEQUENCE inquiry_timeline')
  t.strictSame(await migrate({ databaseUrl }), { applied: names })
  t.strictSame(await migrate({ databaseUrl }), { applied: [] })
})

/** Makes the last statement of the migration wait, or what comes right after its transaction. */
const waits = {
  'in the middle of a migration': `
    CREATE FUNCTION wait() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); END $$;
    CREATE EVENT TRIGGER wait ON ddl_command_start WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION wait()`,
  'between a migration and its record': `
    CREATE FUNCTION wait_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
    CREATE FUNCTION wait() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
      CREATE TRIGGER wait BEFORE UPDATE OF applied_steps_count ON _prisma_migrations EXECUTE FUNCTION wait_row();
    END $$;
    CREATE EVENT TRIGGER wait ON ddl_command_end WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION wait()`,
}
for (const [when, wait] of Object.entries(waits)) {
  t.test(`a connection that is lost ${when} costs nothing`, async (t) => {
    const { databaseUrl, sql } = await anEmptyDatabase()
    await sql(wait)
    const migrating = migrate({ databaseUrl }).then(() => null, (thrown: unknown) => thrown) // prettier-ignore
    const pid = await eventually(async () => {
      const [sleeping] = await sql(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`,
      )
      return sleeping === undefined ? false : Number(sleeping['pid'])
    })
    await sql(`SELECT pg_terminate_backend(${pid})`)
    t.ok((await migrating) instanceof Error)
    await sql('DROP EVENT TRIGGER wait; DROP FUNCTION IF EXISTS wait_row CASCADE')
    await migrate({ databaseUrl })
    t.strictSame(await migrate({ databaseUrl }), { applied: [] })
    t.strictSame(await sql('SELECT id FROM ingest_state'), [{ id: 1 }])
  })
}

t.test('a database that is away is an error, not a wait', async (t) => {
  await t.rejects(migrate({ databaseUrl: 'postgresql://nobody:nothing@127.0.0.1:9/none' }), { message: /ECONNREFUSED/ })
  await t.rejects(migrate({ databaseUrl: server.url('no_such_database') }), { code: '3D000' })
})

t.test('tables that are not ours are left alone', async (t) => {
  const { databaseUrl, sql } = await anEmptyDatabase()
  await sql('CREATE TABLE of_somebody_else (id int)')
  await t.rejects(migrate({ databaseUrl }), { code: 'P3005' })
})

t.test('a folder that lacks its SQL is refused', async (t) => {
  const baseDir = t.testdir({ 'migration_lock.toml': 'provider = "postgresql"', '20260101000000_half': {} })
  await t.rejects(readMigrations(baseDir), { code: 'ENOENT' })
})

t.test('a database whose encoding cannot hold every name is refused before anything is made', async (t) => {
  for (const [encoding, name] of [
    ['SQL_ASCII', 'of_ascii'],
    ['LATIN1', 'of_latin'],
  ] as const) {
    await server.sql(
      `CREATE DATABASE ${name} ENCODING '${encoding}' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0`,
    )
    await t.rejects(migrate({ databaseUrl: server.url(name) }), { message: new RegExp(`${encoding}.*UTF8`) })
    t.strictSame(await server.sql(relations, [], name), [])
  }
})
