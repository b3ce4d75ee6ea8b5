import type { RedisServer, Reply } from './redis-server.ts'
import { valuesOf } from './row-values.ts'

/** The command that reads a whole value, by its type. */
const READERS: Readonly<Record<string, (key: string) => readonly (string | number)[]>> = {
  string: (key) => ['GET', key],
  hash: (key) => ['HGETALL', key],
  list: (key) => ['LRANGE', key, 0, -1],
  set: (key) => ['SMEMBERS', key],
  zset: (key) => ['ZRANGE', key, 0, -1],
  stream: (key) => ['XRANGE', key, '-', '+'],
}

function spellReply(reply: Reply): string {
  return Array.isArray(reply) ? reply.map(spellReply).join(' ') : String(reply)
}

/** Returns all keys and values of a Redis as one text. */
export async function everyKey({ command }: Pick<RedisServer, 'command'>): Promise<string> {
  const keys = (await command('KEYS', '*')) as string[]
  const lines = keys.map(async (key) => {
    const type = String(await command('TYPE', key))
    if (type === 'none') return ''
    const read = READERS[type]
    if (read === undefined) throw new Error(`Expected a known type of key, got ${type}`)
    return `${key} ${spellReply(await command(...read(key)))}`
  })
  return (await Promise.all(lines)).join('\n')
}

type Sql = (text: string) => Promise<readonly Record<string, unknown>[]>

const tablesSql = `
SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1`

/** The planner's statistics quote values of the tables, and stay after these were erased. */
const statisticsSql = `
SELECT schemaname, tablename, attname, most_common_vals::text AS a, histogram_bounds::text AS b,
  most_common_elems::text AS c
FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`

function spell(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function linesOf(name: string, rows: readonly Record<string, unknown>[]): readonly string[] {
  return rows.map((row) => `${name}: ${Object.values(row).map(spell).join(' | ')}`)
}

/** Tables of the change feed. */
const FEED_TABLES = /^public\.(change|removed_objects)/

/** Returns all rows of all tables but those of the change feed as one text; equal where the values are the same. */
export async function tableRows(sql: Sql): Promise<string> {
  const lines: string[] = []
  for (const { name } of await sql(tablesSql))
    if (!FEED_TABLES.test(String(name)))
      lines.push(...linesOf(String(name), valuesOf(await sql(`SELECT * FROM ${String(name)}`))))
  return lines.join('\n')
}

/** Returns all rows of all tables, and the planner's statistics, as one text. */
export async function everyRow(sql: Sql): Promise<string> {
  const lines: string[] = []
  for (const { name } of await sql(tablesSql))
    lines.push(...linesOf(String(name), await sql(`SELECT * FROM ${String(name)}`)))
  return [...lines, ...linesOf('statistics', await sql(statisticsSql))].join('\n')
}

/** Returns the part of a mark's base64 that does not depend on its neighbours; it begins `shift` bytes into a triple. */
function base64Of(mark: string, shift: 0 | 1 | 2): string {
  const bytes = Buffer.concat([Buffer.alloc(shift), Buffer.from(mark)])
  return bytes.toString('base64').slice([0, 2, 3][shift], Math.floor((bytes.length * 8) / 6))
}

function spellings(mark: string): readonly string[] {
  const bytes = Buffer.from(mark)
  return [
    mark,
    mark.toLowerCase(),
    encodeURIComponent(mark),
    bytes.toString('hex'),
    base64Of(mark, 0),
    base64Of(mark, 1),
    base64Of(mark, 2),
  ]
}

/** Returns the marks that a text contains: plain, in lower case, URL-encoded, in hex or in base64. */
export function marksIn(text: string, marks: readonly string[]): readonly string[] {
  return marks.filter((mark) => spellings(mark).some((spelling) => text.includes(spelling)))
}
