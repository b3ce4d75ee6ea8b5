import { readFileSync } from 'node:fs'
import { snapshotColumns } from '@persona-ingest/persona'
import t from 'tap'
import {
  documentColumnNames,
  encryptedColumns,
  families,
  projectionTables,
  selectedColumns,
  sentColumns,
} from '../../src/tables.ts'

const schema = readFileSync(new URL('../../../../prisma/schema.prisma', import.meta.url), 'utf8')
/** Columns of the change feed: a statement computes them. */
const COMPUTED: readonly string[] = ['version', 'was_changed', 'previous_status']
/** Columns that PostgreSQL generates; the schema marks them, and no statement sends them. */
const GENERATED = { inquiries: [], verifications: [], resources: ['inquiry_id'] } as const

const SQL_TYPES: Readonly<Record<string, string>> = {
  'String?': 'text',
  String: 'text',
  'String[]': 'text[]',
  Json: 'jsonb',
  'DateTime?': 'timestamptz',
  'Int?': 'smallint',
}

/** The columns of a table as `prisma/schema.prisma` has them, with their SQL types. */
function schemaColumns(table: string): ReadonlyMap<string, string> {
  const model = schema.split(/^model /m).find((text) => text.includes(`@@map("${table}")`))
  if (model === undefined) throw new Error(`Expected a model of ${table}`)
  const fields = [...model.matchAll(/^ {2}(\w+) +(String|Json|DateTime|Int)(\?|\[\])?(.*)$/gm)]
  return new Map(
    fields.map(([, field = '', type = '', mark = '', rest = '']) => {
      const column = /@map\("(\w+)"\)/.exec(rest)?.[1] ?? field
      return [column, SQL_TYPES[`${type}${mark}`] ?? `${type}${mark}`]
    }),
  )
}

for (const family of families) {
  const table = projectionTables[family]

  t.test(`the description of ${table.name} has exactly the columns of the schema, with their types`, async (t) => {
    const columns = schemaColumns(table.name)
    for (const name of GENERATED[table.name]) t.ok(columns.has(name), name)
    const unsent = [...COMPUTED, ...GENERATED[table.name]]
    const stored = [...columns].filter(([name]) => !unsent.includes(name))
    t.strictSame(
      [...sentColumns(table)].map(([name, type]) => `${name} ${type}`).toSorted(),
      stored.map(([name, type]) => `${name} ${type}`).toSorted(),
    )
  })

  t.test(`a redaction of ${table.name} leaves times, ids of related objects, and nothing else`, async (t) => {
    const emptied = table.redactedValues.map(([name]) => name)
    for (const { name, kind } of snapshotColumns[family])
      t.equal(emptied.includes(name), kind !== 'time' && kind !== 'related', name)
  })

  t.test(`a row of ${table.name} without a snapshot has a value in each column that is never null`, async (t) => {
    const never = ['texts', 'object', 'list']
    const expected = snapshotColumns[family].filter(({ kind }) => never.includes(kind)).map(({ name }) => name)
    t.strictSame(table.emptyValues.map(([name]) => name), expected) // prettier-ignore
  })

  t.test(`a SELECT of ${table.name} has each column of a snapshot once, its documents as text`, async (t) => {
    const selected = selectedColumns(table).split(', ')
    const names = table.snapshotColumns.map(([name]) => name).filter((name) => name !== 'event_name')
    const shown = names.map((name) => (documentColumnNames.includes(name) ? `${name}::text AS ${name}` : name))
    t.strictSame(selected.toSorted(), shown.toSorted())
  })
}

t.test('personal documents are encrypted, those that SQL looks into are not', async (t) => {
  t.strictSame(encryptedColumns, [
    ['events', 'payload'],
    ['inquiries', 'attributes'],
    ['inquiries', 'fields'],
    ['verifications', 'attributes'],
    ['resources', 'attributes'],
  ])
})
