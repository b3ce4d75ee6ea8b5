/*
 * The ceiling of `store`: the same rows (events, inquiries, verifications, other objects) by plain `pg`, in multi-row
 * upserts on two connections, from a list in memory: no queue, no order, no links, no erasure. Prints events per second.
 */
import { Pool, type PoolClient } from 'pg'
import { buildBodies, type Body } from '../harness/bodies.ts'
import type { EventDocument, ResourceObject } from './verified-server.ts'

const BATCH = 200
const COUNT = Number(process.env['COUNT'])
const pool = new Pool({ connectionString: process.env['DATABASE_URL'], max: 2, options: '-c enable_seqscan=off' })

type Column = readonly [name: string, type: string]
const columns: Readonly<Record<string, readonly Column[]>> = {
  inquiries: [
    ['id', 'text'],
    ['status', 'text'],
    ['reference_id', 'text'],
    ['attributes', 'jsonb'],
    ['fields', 'jsonb'],
    ['relationships', 'jsonb'],
  ],
  verifications: [
    ['id', 'text'],
    ['type', 'text'],
    ['status', 'text'],
    ['checks', 'jsonb'],
    ['attributes', 'jsonb'],
    ['relationships', 'jsonb'],
  ],
  resources: [
    ['id', 'text'],
    ['type', 'text'],
    ['status', 'text'],
    ['attributes', 'jsonb'],
    ['relationships', 'jsonb'],
  ],
}
const EXTRA: Readonly<Record<string, string>> = { inquiries: `, tags`, verifications: '', resources: '' }
const EXTRA_VALUE: Readonly<Record<string, string>> = { inquiries: `, '{}'`, verifications: '', resources: '' }

function upsert(table: string): string {
  const own = columns[table] as readonly Column[]
  const names = own.map(([name]) => name).join(', ')
  const arrays = own.map(([, type], index) => `$${index + 3}::${type}[]`).join(', ')
  return `INSERT INTO ${table} AS stored (${names}, environment, event_id, event_created_at, event_rank${EXTRA[table]})
    SELECT ${names}, 'production', event_id, event_created_at, 0${EXTRA_VALUE[table]}
    FROM unnest($1::text[], $2::timestamptz[], ${arrays}) AS sent(event_id, event_created_at, ${names})
    ON CONFLICT (id) DO UPDATE SET ${own.map(([name]) => `${name} = excluded.${name}`).join(', ')},
      event_id = excluded.event_id, event_created_at = excluded.event_created_at
    WHERE excluded.event_created_at >= stored.event_created_at`
}

function valuesOf(table: string, { id, type, attributes, relationships }: ResourceObject): readonly unknown[] {
  const { status = null, fields = {}, checks = [], 'reference-id': referenceId = null, ...rest } = attributes
  const json = [JSON.stringify(rest), JSON.stringify(relationships ?? {})]
  if (table === 'inquiries') return [id, status, referenceId, json[0], JSON.stringify(fields), json[1]]
  if (table === 'verifications') return [id, type, status, JSON.stringify(checks), ...json]
  return [id, type, status, ...json]
}

function tableOf(type: string): string {
  if (type === 'inquiry') return 'inquiries'
  return type.startsWith('verification/') ? 'verifications' : 'resources'
}

function turned(rows: readonly (readonly unknown[])[], width: number): unknown[][] {
  return Array.from({ length: width }, (_, column) => rows.map((row) => row[column]))
}

async function storeBatch(client: PoolClient, bodies: readonly Body[]): Promise<void> {
  const rows: Record<string, Map<string, readonly unknown[]>> = {
    inquiries: new Map(),
    verifications: new Map(),
    resources: new Map(),
  }
  const events = bodies.map(({ bytes }) => {
    const text = bytes.toString()
    const { data } = JSON.parse(text) as EventDocument
    const createdAt = data.attributes['created-at']
    const { data: primary, included = [] } = data.attributes.payload
    for (const object of [primary, ...included]) {
      const table = tableOf(object.type)
      rows[table]?.set(object.id, [data.id, createdAt, ...valuesOf(table, object)])
    }
    return [data.id, data.attributes.name, createdAt, primary.type, primary.id, text]
  })
  await client.query('BEGIN')
  await client.query({
    name: 'events',
    text: `INSERT INTO events (id, environment, name, created_at, rank, resource_type, resource_id, payload, received_at,
        processed_at, outcome)
      SELECT id, 'production', name, created_at, 0, type, resource_id, payload, now(), now(), 'applied'
      FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::jsonb[])
        AS sent(id, name, created_at, type, resource_id, payload) ON CONFLICT DO NOTHING`,
    values: turned(events, 6),
  })
  for (const [table, byId] of Object.entries(rows)) {
    const sorted = [...byId.keys()].toSorted().map((id) => byId.get(id) as readonly unknown[])
    const width = (columns[table]?.length ?? 0) + 2
    if (sorted.length > 0) await client.query({ name: table, text: upsert(table), values: turned(sorted, width) })
  }
  await client.query('COMMIT')
}

const bodies = buildBodies({ seed: 'ceiling', count: COUNT, order: 'live', startAtMs: Date.now() - 3_600_000 })
const clients = await Promise.all([pool.connect(), pool.connect()])
let next = 0
const startedAt = performance.now()
const cpu = process.cpuUsage()
await Promise.all(
  clients.map(async (client) => {
    while (next < bodies.length) {
      const batch = bodies.slice(next, (next += BATCH))
      // Two transactions that lock the same rows in different orders would wait for each other.
      await storeBatch(client, batch).catch(async (error: { code?: string }) => {
        await client.query('ROLLBACK')
        if (error.code !== '40P01') throw error
        await storeBatch(client, batch)
      })
    }
  }),
)
const seconds = (performance.now() - startedAt) / 1000
const { user, system } = process.cpuUsage(cpu)
process.send?.({ seconds, perSecond: bodies.length / seconds, cpuMs: (user + system) / 1000 })
for (const client of clients) client.release()
await pool.end()
process.disconnect()
