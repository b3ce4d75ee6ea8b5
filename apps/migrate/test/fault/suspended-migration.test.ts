import { eventually, spawnApp, throwAwayDatabase } from '@persona-ingest/testkit'
import t from 'tap'

/** A migration waits at its first view, as long as the row says so. */
const waitSql = `
CREATE SCHEMA hold;
CREATE TABLE hold.is_on (is_on boolean); INSERT INTO hold.is_on VALUES (true);
CREATE FUNCTION hold.wait() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN IF (SELECT is_on FROM hold.is_on) THEN PERFORM pg_sleep(5); END IF; END $$;
CREATE EVENT TRIGGER hold ON ddl_command_start WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION hold.wait()`

t.test('a migration that is suspended keeps others waiting for a minute, not for ever', async (t) => {
  const { url, sql } = await throwAwayDatabase(t, { migrate: false })
  await sql(waitSql)
  const migration = async () => {
    const app = await spawnApp({ entry: 'apps/migrate/src/main.ts', env: { DATABASE_URL: url } })
    t.teardown(() => app.kill())
    return app
  }
  const suspended = await migration()
  await eventually(
    async () => (await sql(`SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'`)).length > 0,
    {
      deadlineMs: 60_000,
    },
  )
  suspended.signal('SIGSTOP')
  await sql('UPDATE hold.is_on SET is_on = false')
  const begunAtMs = performance.now()
  const other = await migration()
  t.strictSame(await other.exit, { code: 0, signal: null })
  t.ok(performance.now() - begunAtMs < 120_000)
  suspended.signal('SIGKILL')
})
