import t from 'tap'
import { throwAwayDatabase } from '@persona-ingest/testkit'
import { catalogSql, readSchema, scriptOf } from '../fixtures/a-catalog.ts'

const { url, server } = await throwAwayDatabase(t)
const schema = await readSchema()

async function catalogOf(name?: string): Promise<readonly string[]> {
  return (await server.sql(catalogSql, [], name)).map(({ line }) => String(line))
}

/** The catalog of a fresh database that a Prisma schema made. */
async function catalogOfSchema(name: string, text: string): Promise<readonly string[]> {
  await server.sql(`CREATE DATABASE ${name}`)
  await server.sql(await scriptOf(text, url), [], name)
  return catalogOf(name)
}

t.test('schema.prisma and the migrations say the same', async (t) => {
  const migrated = await catalogOf()
  t.ok(migrated.length > 100)
  t.strictSame(await catalogOfSchema('from_schema', schema), migrated)
})

/** Each makes schema.prisma differ in one place; what is gone from the catalog then, and what is new in it. */
const changes: Record<string, { from: string | RegExp; to: string; differs: readonly string[] }> = {
  'column name': {
    from: '@map("country_code")',
    to: '@map("country")',
    differs: ['- column verifications.country_code text', '+ column verifications.country text'],
  },
  'column type': {
    from: 'rank      Int      @db.SmallInt',
    to: 'rank      Int',
    differs: ['- column redactions.rank smallint not null', '+ column redactions.rank integer not null'],
  },
  precision: {
    from: '@map("canary_at") @db.Timestamptz(3)',
    to: '@map("canary_at") @db.Timestamptz(6)',
    differs: [
      '- column ingest_state.canary_at timestamp(3) with time zone',
      '+ column ingest_state.canary_at timestamp(6) with time zone',
    ],
  },
  nullability: {
    from: 'canaryAt DateTime?',
    to: 'canaryAt DateTime ',
    differs: [
      '- column ingest_state.canary_at timestamp(3) with time zone',
      '+ column ingest_state.canary_at timestamp(3) with time zone not null',
    ],
  },
  default: {
    from: 'epoch    BigInt',
    to: 'epoch    BigInt @default(7)',
    differs: ['- column ingest_state.epoch bigint not null', '+ column ingest_state.epoch bigint not null default 7'],
  },
  'index gone': {
    from: '  @@index([accountId])\n',
    to: '',
    differs: ['- index inquiries_account_id_idx inquiries using btree (account_id)'],
  },
  'index method': {
    from: '@@index([referenceId], type: Hash)',
    to: '@@index([referenceId])',
    differs: [
      '- index inquiries_reference_id_idx inquiries using hash (reference_id)',
      '+ index inquiries_reference_id_idx inquiries using btree (reference_id)',
    ],
  },
  'index columns': {
    from: '@@id([objectId, eventId])',
    to: '@@id([eventId, objectId])',
    differs: [
      '- index event_objects_pkey event_objects primary using btree (object_id, event_id)',
      '+ index event_objects_pkey event_objects primary using btree (event_id, object_id)',
    ],
  },
  uniqueness: {
    from: '@unique @map("event_id")',
    to: '@map("event_id")',
    differs: ['- index dead_letters_event_id_key dead_letters unique using btree (event_id)'],
  },
  'table gone': {
    from: /model Claim \{[^}]*\}/,
    to: '',
    differs: [
      '- column claims.inquiry_id text not null',
      '- column claims.object_id text not null',
      '- index claims_pkey claims primary using btree (inquiry_id, object_id)',
    ],
  },
}

let databases = 0
for (const [what, { from, to, differs }] of Object.entries(changes)) {
  t.test(`a difference is seen: ${what}`, async (t) => {
    const changed = schema.replace(from, to)
    t.not(changed, schema, 'the change applies')
    const catalog = await catalogOfSchema(`changed_${(databases += 1)}`, changed)
    const migrated = await catalogOf()
    const gone = migrated.filter((line) => !catalog.includes(line)).map((line) => `- ${line}`)
    const added = catalog.filter((line) => !migrated.includes(line)).map((line) => `+ ${line}`)
    t.strictSame([...gone, ...added], differs)
  })
}
