import type { SqlExecutor } from '../sql/executor.ts'

/**
 * The schema of the shadow tables. Statements of ingestion name no schema: with this one first in the search path they use
 * the shadow tables, and find the log and functions in `public`.
 */
export const SHADOW_SCHEMA = 'persona_rebuild'
export const SHADOW_SEARCH_PATH = `${SHADOW_SCHEMA}, public`

const SHADOWED = ['inquiries', 'verifications', 'resources', 'objects'] as const

/** Raised when events are read in another way, so that a rebuild of an older program begins anew. */
const PROJECTION_VERSION = 4

/**
 * Unlogged: a crash empties all of them together, progress included, and no replica or backup gets a copy. The fill factor
 * leaves room for updates, since each chunk may write an object's row again.
 */
function createTableSql(name: string): string {
  return (
    `CREATE UNLOGGED TABLE ${SHADOW_SCHEMA}.${name} (LIKE public.${name} ` +
    `INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE, PRIMARY KEY (id)) WITH (fillfactor = 70)`
  )
}

const createSql = [
  `CREATE SCHEMA ${SHADOW_SCHEMA}`,
  ...SHADOWED.map(createTableSql),
  // Events that are in the shadow tables.
  `CREATE UNLOGGED TABLE ${SHADOW_SCHEMA}.projected (event_id text COLLATE "C" PRIMARY KEY, row_version text)`,
  // Objects whose live and shadow rows may differ.
  `CREATE UNLOGGED TABLE ${SHADOW_SCHEMA}.suspects (id text COLLATE "C" PRIMARY KEY)`,
  // Events that were changed by hand, and their objects, whose rows can't be compared.
  `CREATE UNLOGGED TABLE ${SHADOW_SCHEMA}.faulty (event_id text COLLATE "C" PRIMARY KEY, columns text[] NOT NULL)`,
  `CREATE UNLOGGED TABLE ${SHADOW_SCHEMA}.untold (id text COLLATE "C" PRIMARY KEY)`,
  `CREATE UNLOGGED TABLE ${SHADOW_SCHEMA}.progress (
    fingerprint text NOT NULL, next_block int8 NOT NULL, blocks int8 NOT NULL, started_at timestamptz NOT NULL)`,
]

const fingerprintSql = `
SELECT '${PROJECTION_VERSION} ' || md5(string_agg(concat_ws(' ', table_name, column_name, data_type), ',' ORDER BY
  table_name, column_name)) AS fingerprint
FROM information_schema.columns WHERE table_schema = 'public' AND table_name = ANY($1::text[])`

const existsSql = `SELECT to_regclass('${SHADOW_SCHEMA}.progress') IS NOT NULL AS "isThere"`

/** Progress of the first pass over the log. */
export type ShadowProgress = { readonly nextBlock: number; readonly blocks: number }

const progressSql = `
SELECT fingerprint, next_block::float8 AS "nextBlock", blocks::float8 AS blocks FROM ${SHADOW_SCHEMA}.progress`

const beginSql = `
INSERT INTO ${SHADOW_SCHEMA}.progress
SELECT $1, 0, pg_relation_size('public.events') / current_setting('block_size')::int8, clock_timestamp()`

export async function dropShadow(executor: SqlExecutor): Promise<void> {
  await executor.query(`DROP SCHEMA IF EXISTS ${SHADOW_SCHEMA} CASCADE`, [])
}

async function readProgress(executor: SqlExecutor, fingerprint: string): Promise<ShadowProgress | null> {
  const [found] = await executor.query<{ isThere: boolean }>(existsSql, [])
  if (found?.isThere !== true) return null
  const [row] = await executor.query<ShadowProgress & { fingerprint: string }>(progressSql, [])
  return row === undefined || row.fingerprint !== fingerprint ? null : row
}

/** Faulty events are read again, since they may have been repaired meanwhile. */
const forgetFaultySql = `
WITH gone AS (DELETE FROM ${SHADOW_SCHEMA}.faulty RETURNING event_id)
DELETE FROM ${SHADOW_SCHEMA}.projected WHERE event_id IN (SELECT event_id FROM gone)`

/**
 * Whether an event was changed or removed by hand since it was read. Changes by a prune or an erasure do not count, since the
 * rebuild handles them.
 */
const isStaleSql = `
WITH changed AS MATERIALIZED (
  SELECT p.event_id, e.resource_id, e.created_at, e.rank
  FROM ${SHADOW_SCHEMA}.projected p LEFT JOIN public.events e ON e.id = p.event_id
  WHERE e.xmin::text IS DISTINCT FROM p.row_version AND e.pruned_at IS NULL
), standing AS (
  SELECT event_id, resource_id AS object_id, created_at, rank FROM changed
  UNION ALL SELECT c.event_id, l.object_id, c.created_at, c.rank
  FROM changed c JOIN public.event_objects l ON l.event_id = c.event_id
)
SELECT EXISTS (
  SELECT FROM changed WHERE event_id NOT IN (
    SELECT s.event_id FROM standing s JOIN public.objects o ON o.id = s.object_id
    WHERE (o.erased_created_at, o.erased_rank, o.erased_event_id) >= (s.created_at, s.rank, s.event_id)
  )
) AS "isStale"`

async function isStale(executor: SqlExecutor): Promise<boolean> {
  await executor.query(forgetFaultySql, [])
  const [row] = await executor.query<{ isStale: boolean }>(isStaleSql, [])
  return row?.isStale !== false
}

/**
 * Creates the shadow tables, or finds those of an interrupted rebuild. Those that do not fit are dropped: other columns, an
 * older program, emptied by a crash, or a log that was changed by hand since.
 */
export async function prepareShadow(
  executor: SqlExecutor,
  options: { readonly restart: boolean },
): Promise<ShadowProgress & { readonly isResumed: boolean }> {
  const [row] = await executor.query<{ fingerprint: string }>(fingerprintSql, [[...SHADOWED]])
  // Rows are compared without a key, so all of them must be under the same one.
  const fingerprint = `${row?.fingerprint ?? ''} ${executor.keys.newestId ?? ''}`
  const left = options.restart ? null : await readProgress(executor, fingerprint)
  if (left !== null && !(await isStale(executor))) {
    await executor.query(`TRUNCATE ${SHADOW_SCHEMA}.suspects, ${SHADOW_SCHEMA}.untold`, [])
    return { ...left, isResumed: true }
  }
  await dropShadow(executor)
  for (const statement of createSql) await executor.query(statement, [])
  await executor.query(beginSql, [fingerprint])
  const begun = await readProgress(executor, fingerprint)
  if (begun === null) throw new Error('Expected the shadow tables that were just created')
  return { ...begun, isResumed: false }
}

export async function noteProgress(executor: SqlExecutor, nextBlock: number): Promise<void> {
  await executor.query(`UPDATE ${SHADOW_SCHEMA}.progress SET next_block = $1`, [nextBlock])
}
