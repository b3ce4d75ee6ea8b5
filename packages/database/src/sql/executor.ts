import type { KeyRing } from '@persona-ingest/core'
import {
  ColumnTypeEnum,
  type SqlDriverAdapter,
  type SqlResultSet,
  type Transaction,
} from '@prisma/driver-adapter-utils'
import { DecryptionError } from './encrypted-values.ts'
import { createHash } from 'node:crypto'

/** Cuts a list into pages, so that no statement and no moment holds more documents than fit. */
export function* inPages<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}

const names = new Map<string, string>()

/**
 * Names a statement that is worth keeping prepared on each connection; call it once per constant SQL text.
 * Without a name PostgreSQL plans a statement anew each time, which for the batch write takes longer than running it.
 */
export function keepPrepared(sql: string): string {
  names.set(sql, `persona_ingest_${createHash('sha256').update(sql).digest('hex').slice(0, 16)}`)
  return sql
}

/** The name of a kept statement; empty for every other, which pg then runs without a name. */
export function statementName(query: { readonly sql: string }): string {
  return names.get(query.sql) ?? ''
}

/** A row whose document or body does not open: a key is missing, or the value is damaged. */
export type UndecryptableRow = { readonly table: 'events' | 'resources' | 'dead_letters'; readonly id: string }
export type OnUndecryptable = (row: UndecryptableRow) => void

/** Null where the row does not open and the executor is told so. Throws `DecryptionError` where it is not. */
export function decryptOrReport<T>({ onUndecryptable }: SqlExecutor, row: UndecryptableRow, open: () => T): T | null {
  try {
    return open()
  } catch (error) {
    if (onUndecryptable === undefined || !(error instanceof DecryptionError)) throw error
    onUndecryptable(row)
    return null
  }
}

/** Runs one SQL statement: Prisma's client, or a transaction of it. */
export interface SqlExecutor {
  /** What the personal documents of rows are sealed and opened with. */
  readonly keys: KeyRing
  /** Told of stored documents that no key opens, where work goes on without them; else they end it. */
  readonly onUndecryptable?: OnUndecryptable | undefined
  query<Row>(sql: string, parameters: readonly unknown[]): Promise<readonly Row[]>
}

/** As Prisma's client gives them. */
function decode(value: unknown, type: SqlResultSet['columnTypes'][number] | undefined): unknown {
  if (typeof value !== 'string') return value
  if (type === ColumnTypeEnum.Json) return JSON.parse(value)
  return type === ColumnTypeEnum.DateTime ? new Date(value) : value
}

function decodeRows({ columnNames, columnTypes, rows }: SqlResultSet): readonly Record<string, unknown>[] {
  return rows.map((row) =>
    Object.fromEntries(columnNames.map((name, index) => [name, decode(row[index], columnTypes[index])])),
  )
}

type RawQueries = Pick<SqlDriverAdapter, 'queryRaw'>

function executorOf(connect: () => Promise<RawQueries>, keys: KeyRing): SqlExecutor {
  return {
    keys,
    async query<Row>(sql: string, parameters: readonly unknown[]) {
      const adapter = await connect()
      const argTypes = parameters.map((parameter) => ({
        scalarType: 'unknown' as const,
        arity: Array.isArray(parameter) ? ('list' as const) : ('scalar' as const),
      }))
      return decodeRows(await adapter.queryRaw({ sql, args: [...parameters], argTypes })) as readonly Row[]
    },
  }
}

const bare = (sql: string) => ({ sql, args: [], argTypes: [] })

async function rollBack(transaction: Transaction): Promise<void> {
  // Where the connection is lost, the server has rolled back, and the pool drops the connection.
  await transaction.executeRaw(bare('ROLLBACK')).catch(() => undefined)
  await transaction.rollback()
}

/** Runs single statements, and several of them as one transaction. */
export interface Sql extends SqlExecutor {
  /**
   * Runs work in one READ COMMITTED transaction. Unlike Prisma's own it has no time limit as a whole: each statement has
   * one, and so has the time between two of them.
   */
  transaction<T>(work: (executor: SqlExecutor) => Promise<T>): Promise<T>
}

/**
 * Sends statements straight to Prisma's driver adapter, over the same connections as Prisma's client. The client writes
 * parameters as JSON and reads them again, which for a batch of 1 MB cost 0.15 ms an event (ADR 4).
 */
export function sqlOf(adapter: Promise<SqlDriverAdapter>, keys: KeyRing): Sql {
  return {
    ...executorOf(() => adapter, keys),
    async transaction(work) {
      const transaction = await (await adapter).startTransaction('READ COMMITTED')
      try {
        const result = await work(executorOf(async () => transaction, keys))
        await transaction.executeRaw(bare('COMMIT'))
        await transaction.commit()
        return result
      } catch (error) {
        await rollBack(transaction)
        throw error
      }
    },
  }
}
