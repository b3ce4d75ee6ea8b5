import { readFile } from 'node:fs/promises'
import { PrismaPg } from '@prisma/adapter-pg'
import {
  bindMigrationAwareSqlAdapterFactory,
  type ErrorCapturingSqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils'
import { Pool } from 'pg'
import { SessionClient, sessionOptions } from '../sql/session.ts'
import * as engine from '@prisma/schema-engine-wasm/schema_engine_bg'

type EngineExports = { readonly __wbindgen_start: () => void }
/** TypeScript declares this global for browsers only. */
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: Record<string, unknown>): Promise<{ instance: { exports: EngineExports } }>
}

let loading: Promise<void> | null = null

/** The engine never clears the 10 s timer of its lock, which would keep every process alive that migrated. */
function importsWithoutTimers(): Record<string, unknown> {
  const unrefTimeout = (callback: () => void, ms: number) => setTimeout(callback, ms >>> 0).unref()
  return Object.fromEntries(
    Object.entries(engine).map(([name, value]) => [name, name.startsWith('__wbg_setTimeout_') ? unrefTimeout : value]),
  )
}

/**
 * The package's own entry imports its `.wasm` as a module, which Node.js does only behind a flag; so it is
 * instantiated here by hand.
 */
async function load(): Promise<void> {
  const file = new URL('schema_engine_bg.wasm', import.meta.resolve('@prisma/schema-engine-wasm'))
  const { instance } = await WebAssembly.instantiate(await readFile(file), {
    './schema_engine_bg.js': importsWithoutTimers(),
  })
  const { __wbg_set_wasm: setWasm } = engine as unknown as { __wbg_set_wasm: (exports: unknown) => void }
  setWasm(instance.exports)
  instance.exports.__wbindgen_start()
}

/**
 * A migration may take its time, but not wait for a lock: what comes after it would wait behind it, ingestion too. It is
 * tried again later.
 */
const SETTINGS = { statement_timeout: '0', lock_timeout: '5s', idle_session_timeout: '30s', enable_seqscan: 'on' }

/** In the transaction of the migration itself: whatever dies afterwards, what was applied is known to be. */
const NOTE_FINISHED =
  'UPDATE "_prisma_migrations" SET "finished_at" = now() WHERE "finished_at" IS NULL AND "rolled_back_at" IS NULL'

/**
 * The adapter cuts a script at every semicolon, function bodies and comments included, and runs the pieces on any
 * connection. Sent whole, PostgreSQL runs it in one transaction, as `prisma migrate deploy` does.
 */
class WholeScriptPrismaPg extends PrismaPg {
  override async connect(): ReturnType<PrismaPg['connect']> {
    const adapter = await super.connect()
    adapter.executeScript = async (script) =>
      void (await adapter.underlyingDriver().query(`${script}\n;\n${NOTE_FINISHED}`))
    return adapter
  }
}

/** The engine tells of an error of the connection by a number only; what was thrown there says what happened. */
function thrownByDriver(
  error: unknown,
  { errorRegistry }: ErrorCapturingSqlMigrationAwareDriverAdapterFactory,
): unknown {
  const [, id] = /External error id#(\d+)/.exec(error instanceof Error ? error.message : '') ?? []
  return (id === undefined ? null : errorRegistry.consumeError(Number(id))?.error) ?? error
}

/**
 * Runs work with Prisma's schema engine in its WebAssembly form: the same engine as `prisma migrate` uses, without a
 * download. `schema` is the text of a Prisma schema where the work needs one.
 */
export async function withSchemaEngine<T>(
  options: { databaseUrl: string; schema?: string },
  work: (engine: engine.SchemaEngine) => Promise<T>,
): Promise<T> {
  loading ??= load()
  await loading
  // The engine locks the session it happens on and never unlocks: one connection, and its end, make that safe.
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
