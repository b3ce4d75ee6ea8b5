/*
 * Prisma's schema engine and what it needs from outside, checked on @prisma/schema-engine-wasm and @prisma/adapter-pg
 * 7.10.0. `test/integration/prisma-quirks.test.ts` shows how Prisma behaves without each change of its inside.
 */
import { readFile } from 'node:fs/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import {
  bindMigrationAwareSqlAdapterFactory,
  type ErrorCapturingSqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils'
import * as engine from '@prisma/schema-engine-wasm/schema_engine_bg'
import { Pool } from 'pg'
import { SessionClient, sessionOptions } from '../sql/session.ts'

type EngineExports = { readonly __wbindgen_start: () => void }
/** TypeScript declares this global for browsers only. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: Record<string, unknown>): Promise<{ instance: { exports: EngineExports } }>
}

/** The engine never clears the 10 s timer of its lock, which keeps the process alive. No upstream issue found. */
function importsWithoutTimers(): Record<string, unknown> {
  const unrefTimeout = (callback: () => void, ms: number) => setTimeout(callback, ms >>> 0).unref()
  return Object.fromEntries(
    Object.entries(engine).map(([name, value]) => [name, name.startsWith('__wbg_setTimeout_') ? unrefTimeout : value]),
  )
}

/**
 * Instantiates the engine. The entry of its package imports a `.wasm` file, which Node.js 20 and 22 do only behind a flag.
 * No upstream issue found.
 */
export async function loadEngine(imports: Record<string, unknown>): Promise<void> {
  const file = new URL('schema_engine_bg.wasm', import.meta.resolve('@prisma/schema-engine-wasm'))
  const { instance } = await WebAssembly.instantiate(await readFile(file), {
    './schema_engine_bg.js': imports,
  })
  const { __wbg_set_wasm: setWasm } = engine as unknown as { __wbg_set_wasm: (exports: unknown) => void }
  setWasm(instance.exports)
  instance.exports.__wbindgen_start()
}

let loading: Promise<void> | null = null

/** A migration may run long, but not wait for a lock: later statements, those of ingestion too, would wait behind it. */
const SETTINGS = { statement_timeout: '0', lock_timeout: '5s', idle_session_timeout: '30s', enable_seqscan: 'on' }

/** Runs in the transaction of the migration, so that an applied migration is recorded even where the process dies. */
const NOTE_FINISHED =
  'UPDATE "_prisma_migrations" SET "finished_at" = now() WHERE "finished_at" IS NULL AND "rolled_back_at" IS NULL'

/**
 * Sends a script whole, so that PostgreSQL runs it in one transaction, as `prisma migrate deploy` does. The adapter cuts it
 * at every semicolon, also within functions and comments, and runs the pieces on any connection.
 *
 * @see https://github.com/prisma/orm/pull/27510
 */
class WholeScriptPrismaPg extends PrismaPg {
  override async connect(): ReturnType<PrismaPg['connect']> {
    const adapter = await super.connect()
    adapter.executeScript = async (script) =>
      void (await adapter.underlyingDriver().query(`${script}\n;\n${NOTE_FINISHED}`))
    return adapter
  }
}

/**
 * Finds the error that the driver threw. The engine reports it by a number only.
 *
 * @see https://github.com/prisma/orm/pull/26983
 */
function thrownByDriver(
  error: unknown,
  { errorRegistry }: ErrorCapturingSqlMigrationAwareDriverAdapterFactory,
): unknown {
  const [, id] = /External error id#(\d+)/.exec(error instanceof Error ? error.message : '') ?? []
  return (id === undefined ? null : errorRegistry.consumeError(Number(id))?.error) ?? error
}

/**
 * Runs work with the WebAssembly form of Prisma's schema engine, the engine of `prisma migrate`, without a download.
 * `schema` is the text of a Prisma schema where the work needs one.
 */
export async function withSchemaEngine<T>(
  options: { databaseUrl: string; schema?: string },
  work: (engine: engine.SchemaEngine) => Promise<T>,
): Promise<T> {
  loading ??= loadEngine(importsWithoutTimers())
  await loading
  // The engine locks its session and never unlocks it, so it gets one connection, which ends here.
  const pool = new Pool({ ...sessionOptions(options.databaseUrl, SETTINGS), Client: SessionClient, max: 1 })
  pool.on('error', () => undefined)
  const adapter = bindMigrationAwareSqlAdapterFactory(new WholeScriptPrismaPg(pool))
  const datamodels: [string, string][] | undefined = options.schema ? [['schema.prisma', options.schema]] : undefined
  try {
    const opened = await engine.SchemaEngine.new({ datamodels }, () => undefined, adapter)
    return await work(opened)
  } catch (error) {
    throw thrownByDriver(error, adapter)
  } finally {
    await pool.end()
  }
}
