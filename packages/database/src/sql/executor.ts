import type { KeyRing } from '@persona-ingest/core'
import {
  ColumnTypeEnum,
  type SqlDriverAdapter,
  type SqlResultSet,
  type Transaction,
} from '@prisma/driver-adapter-utils'
import type { PrismaClient } from '../generated/client.ts'
import { keysOf, SealedDataError } from './encrypted-values.ts'
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
export type UnopenedRow = { readonly table: 'events' | 'resources' | 'dead_letters'; readonly id: string }
export type OnUnopened = (row: UnopenedRow) => void

/** Null where the row does not open and the executor is told so. Throws `SealedDataError` where it is not. */
export function openedUnlessTold<T>({ onUnopened }: SqlExecutor, row: UnopenedRow, open: () => T): T | null {
  try {
    return open()
  } catch (error) {
    if (onUnopened === undefined || !(error instanceof SealedDataError)) throw error
    onUnopened(row)
    return null
  }
}

/** Runs one SQL statement: Prisma's client, or a transaction of it. */
export interface SqlExecutor {
  /** What the personal documents of rows are sealed and opened with. */
  readonly keys: KeyRing
  /** Told of stored documents that no key opens, where work goes on without them; else they end it. */
  readonly onUnopened?: OnUnopened | undefined
  query<Row>(sql: string, parameters: readonly unknown[]): Promise<readonly Row[]>
}

type RawClient = { $queryRawUnsafe<T>(sql: string, ...parameters: unknown[]): PromiseLike<T> }

const adapters = new WeakMap<object, () => Promise<SqlDriverAdapter>>()

/**
 * Lets the statements of a client that stand alone go straight to its driver adapter, over the same connections. Prisma's
 * client writes parameters as JSON and reads them again on their way, which for a batch of 1 MB cost 0.15 ms an event
 * (ADR 4).
 */
export function useAdapter(client: PrismaClient, connect: () => Promise<SqlDriverAdapter>): void {
  adapters.set(client, connect)
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

function adapterExecutor(connect: () => Promise<RawQueries>, keys: KeyRing): SqlExecutor {
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

/**
 * Runs statements of a client or of a transaction, whose keys must be told; all of them are constant texts, values are
 * parameters.
 */
export function sqlExecutor(client: RawClient, keys: KeyRing = keysOf(client)): SqlExecutor {
  const connect = adapters.get(client)
  if (connect !== undefined) return adapterExecutor(connect, keys)
  return {
    keys,
    query: async <Row>(sql: string, parameters: readonly unknown[]) =>
      client.$queryRawUnsafe<readonly Row[]>(sql, ...parameters),
  }
}

const bare = (sql: string) => ({ sql, args: [], argTypes: [] })

async function rollBack(transaction: Transaction): Promise<void> {
  // Where the connection is lost, the server has rolled back, and the pool drops the connection.
  await transaction.executeRaw(bare('ROLLBACK')).catch(() => undefined)
  await transaction.rollback()
}

/**
 * Runs work in one READ COMMITTED transaction of a client that has an adapter. Unlike Prisma's own it has no limit of time
 * as a whole: each statement has one, and so has the time between two of them.
 */
export async function inTransaction<T>(client: PrismaClient, work: (executor: SqlExecutor) => Promise<T>): Promise<T> {
  const connect = adapters.get(client)
  if (connect === undefined) throw new Error('Expected a client with an adapter of its own')
  const transaction = await (await connect()).startTransaction('READ COMMITTED')
  try {
    const result = await work(adapterExecutor(async () => transaction, keysOf(client)))
    await transaction.executeRaw(bare('COMMIT'))
    await transaction.commit()
    return result
  } catch (error) {
    await rollBack(transaction)
    throw error
  }
}
