import {
  inquiries,
  resources,
  verifications,
  type InquiryDetails,
  type ResourceDetails,
  type Table,
  type VerificationDetails,
} from './columns.ts'
import { decodeRow, selected, type DecodedRow, type JsonRow, type RowSource } from './row-values.ts'

const rowSql = (table: Table, key: string): string =>
  `SELECT ${selected({ ...table.columns, ...table.documents })} FROM public.${table.name} t WHERE t.${key} = $1`

const findSql = (table: Table): string => `SELECT to_json(r) AS row FROM (${rowSql(table, 'id')}) r`

// One statement sees one moment.
const findInquirySql = `
SELECT to_json(r) AS row, (
  SELECT COALESCE(json_agg(v ORDER BY v."createdAt" NULLS LAST, v.id), '[]')
  FROM (${rowSql(verifications, 'inquiry_id')}) v
) AS verifications
FROM (${rowSql(inquiries, 'id')}) r`

function decodeDetails(row: JsonRow, table: Table, { keys }: RowSource): DecodedRow {
  return decodeRow({ row, table, keys, columns: { ...table.columns, ...table.documents } })
}

async function find(source: RowSource, table: Table, id: string): Promise<DecodedRow | null> {
  const [found] = await source.run(findSql(table), [id])
  return found === undefined ? null : decodeDetails(JSON.parse(found['row'] ?? '') as JsonRow, table, source)
}

export async function findInquiry(source: RowSource, id: string): Promise<InquiryDetails | null> {
  const [found] = await source.run(findInquirySql, [id])
  if (found === undefined) return null
  const linked = JSON.parse(found['verifications'] ?? '') as readonly JsonRow[]
  return {
    ...decodeDetails(JSON.parse(found['row'] ?? '') as JsonRow, inquiries, source),
    verifications: linked.map((row) => decodeDetails(row, verifications, source)),
  } as unknown as InquiryDetails
}

export async function findVerification(source: RowSource, id: string): Promise<VerificationDetails | null> {
  return (await find(source, verifications, id)) as VerificationDetails | null
}

export async function findResource(source: RowSource, id: string): Promise<ResourceDetails | null> {
  return (await find(source, resources, id)) as ResourceDetails | null
}
