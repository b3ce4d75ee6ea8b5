import type { PostgresServer } from '@persona-ingest/testkit'

const insertSql = (count: string) => `
INSERT INTO changes (slot, family, object_id, inquiry_id, version, cause, event_id, status, previous_status)
SELECT 0, 'verification', 'ver_' || n || '_abcdefghijklmnopqrstuvwx', 'inq_' || n || '_abcdefghijklmnopqrstuvwx', 2, 'event',
  'evt_' || n || '_abcdefghijklmnopqrstuvwx', 'passed', 'submitted'
FROM generate_series(1, ${count}) n`

const tickSql = `
INSERT INTO change_ticks (tick, at, snapshot, last_seq, system_identifier, timeline)
SELECT COALESCE((SELECT max(tick) FROM change_ticks), 0) + 1, clock_timestamp(), pg_current_snapshot(), s.last_value,
  f.system_identifier, f.timeline FROM changes_seq_seq s, change_feed f`

/** Writes changes in many small transactions, with a tick after each so many of them, as a worker under load does. */
export async function fillSmallTicks(
  server: PostgresServer,
  { transactions, changesEach, transactionsPerTick }: SmallTicks,
): Promise<void> {
  await server.sql(`
DO $$ BEGIN
  PERFORM set_config('synchronous_commit', 'off', false);
  FOR i IN 1..${transactions} LOOP
    ${insertSql(String(changesEach))};
    COMMIT;
    IF i % ${transactionsPerTick} = 0 OR i = ${transactions} THEN
      ${tickSql};
      COMMIT;
    END IF;
  END LOOP;
END $$`)
}

export type SmallTicks = {
  readonly transactions: number
  readonly changesEach: number
  readonly transactionsPerTick: number
}

/** Writes changes in one transaction and makes a tick, as a rebuild does. */
export async function fillOneTick(server: PostgresServer, changes: number): Promise<void> {
  await server.sql(insertSql(String(changes)))
  await server.sql(tickSql)
}
