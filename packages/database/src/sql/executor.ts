import { createHash } from 'node:crypto'
import type { KeyRing } from '@persona-ingest/core'
import {
  ColumnTypeEnum,
  type SqlDriverAdapter,
  type SqlResultSet,
  type Transaction,
} from '@prisma/driver-adapter-utils'
import { DecryptionError } from './row-values.ts'

export function* inPages<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}

const names = new Map<string, string>()

/**
 * Gives a constant SQL text a name, so that each connection keeps it prepared. Without a name PostgreSQL plans it each time,
 * which takes longer than the batch write itself.
 */
export function keepPrepared(sql: string): string {
  names.set(sql, `persona_ingest_${createHash('sha256').update(sql).digest('hex').slice(0, 16)}`)
  return sql
}

/** The name of a prepared statement; empty for every other, which pg runs without a name. */
export function statementName(query: { readonly sql: string }): string {
  return names.get(query.sql) ?? ''
}

/** A row whose document or body can't be decrypted. */
export type UndecryptableRow = { readonly table: 'events' | 'resources' | 'dead_letters'; readonly id: string }
export type OnUndecryptable = (row: UndecryptableRow) => void

/** Decrypts, or reports the row and gives null. Without `onUndecryptable` it throws the `DecryptionError`. */
export function decryptOrReport<T>(
  { onUndecryptable }: SqlExecutor,
  row: UndecryptableRow,
  decrypt: () => T,
): T | null {
  try {
    return decrypt()
  } catch (error) {
    if (onUndecryptable === undefined || !(error instanceof DecryptionError)) throw error
    onUndecryptable(row)
    return null
  }
}

/** Runs one SQL statement: Prisma's client, or a transaction of it. */
export interface SqlExecutor {
  /** Encrypt and decrypt personal documents of rows. */
  readonly keys: KeyRing
  /** Gets rows that no key decrypts; work goes on without them. Without it they end the work. */
  readonly onUndecryptable?: OnUndecryptable | undefined
  query<Row>(sql: string, parameters: readonly unknown[]): Promise<readonly Row[]>
}

/** Values as Prisma's client gives them. */
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
  // After a lost connection the server rolls back by itself.
  await transaction.executeRaw(bare('ROLLBACK')).catch(() => undefined)
  await transaction.rollback()
}

/** Runs single statements, and several of them as one transaction. */
export interface Sql extends SqlExecutor {
  /**
   * Runs work in one READ COMMITTED transaction. Each statement and each pause between two statements has a time limit; the
   * whole has none, unlike transactions of Prisma's client.
   */
  transaction<T>(work: (executor: SqlExecutor) => Promise<T>): Promise<T>
}

/**
 * Sends statements to Prisma's driver adapter, over the connections of Prisma's client. The client itself encodes
 * parameters as JSON twice, which cost 0.15 ms an event for a batch of 1 MB (ADR 4).
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
