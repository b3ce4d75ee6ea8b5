import { randomUUID } from 'node:crypto'
import { callbackify } from 'node:util'
import { Client, type ClientConfig } from 'pg'
import { parse } from 'pg-connection-string'
import { ConnectionError, isOfPostgres, UnsuitableSessionError } from './failure.ts'
import { ClientClosedOnTimeout, destroy, firstProcessOf, resultsOf } from './pg-quirks.ts'

const CONNECT_TIMEOUT_MS = 5_000
/** A connection that is cut off is noticed within half a minute; the system's default is two hours. */
const KEEPALIVE_AFTER_MS = 10_000

/** Values of PostgreSQL's settings by name, as `SHOW` gives them. */
export type SessionSettings = Readonly<Record<string, string>>

/**
 * Session settings that the statements rely on. A role, a database, a URL or a pooler may have set other values.
 *
 * Left out on purpose: `default_transaction_read_only`, which hosting services set while a disk is full.
 */
const RELIED_ON: SessionSettings = {
  // A role named `persona` would find the schema of that name first.
  search_path: 'public, pg_temp',
  // The epoch is compared with what is committed now (ADR 2).
  default_transaction_isolation: 'read committed',
  // Formats of values. The driver adapter drops the offset of a time, so the offset must be zero.
  client_encoding: 'UTF8',
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  transform_null_equals: 'off',
  // Rows that are found and triggers that run. A redaction would miss a row that a policy hides.
  row_security: 'off',
  gin_fuzzy_search_limit: '0',
  session_replication_role: 'origin',
  // Limits of time. Sessions that need other limits set them on top of these.
  lock_timeout: '0',
  statement_timeout: '20s',
  idle_in_transaction_session_timeout: '30s',
  idle_session_timeout: '0',
  transaction_timeout: '0',
  // The connection of a client that is cut off or suspended ends, and so do its locks.
  tcp_keepalives_idle: '30',
  tcp_keepalives_interval: '10',
  tcp_keepalives_count: '3',
  tcp_user_timeout: '1min',
  // Plans. Frequent statements find rows by key; without statistics PostgreSQL would read whole tables.
  enable_seqscan: 'off',
  jit: 'off',
  plan_cache_mode: 'auto',
  // The server's log may be set to hold parameters of failed statements, which are personal data.
  log_parameter_max_length_on_error: '0',
}

/** A setting that marks a session, so that another connection to the same session is recognised. */
const MARK = 'persona_ingest.session'

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/**
 * Sets only values that differ, since some settings need a privilege, and skips settings that this PostgreSQL lacks.
 * `search_path` comes first, so that no name resolves elsewhere. `synchronous_commit` is never weaker than `on`: events
 * that are acknowledged to the queue must survive a crash.
 */
function settingsSql(settings: SessionSettings, mark: string): string {
  const { search_path: searchPath = '', ...others } = { ...RELIED_ON, ...settings, [MARK]: mark }
  const values = Object.entries(others).map(([name, value]) => `(${literal(name)}, ${literal(value)})`)
  return `SET search_path = ${searchPath};
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
SELECT count(set_config(name, value, false)) FROM (VALUES ${values.join(', ')}) AS wanted(name, value)
WHERE current_setting(name, true) <> value OR name = ${literal(MARK)};
SELECT pg_backend_pid() AS pid`
}

const TRANSACTION_POOLING =
  'a pooler hands out another session with each transaction; it must pool sessions (docs/poolers.md)'

type SessionRow = { readonly pid: number; readonly mark: string | null }

/** Runs all statements of a text; gives the first row of the last one. */
async function ask(client: Client, text: string, timeoutMs = CONNECT_TIMEOUT_MS): Promise<SessionRow | undefined> {
  const config = { text, query_timeout: timeoutMs }
  return resultsOf(await client.query<SessionRow>(config)).at(-1)?.rows[0]
}

const whoSql = `SELECT pg_backend_pid() AS pid, current_setting(${literal(MARK)}, true) AS mark`

const PROBE_ROUNDS = 3
const PROBE_TIMEOUT_MS = 2_000

/** Statement pooling refuses transactions. PgBouncer gives the same code where no session was free in time. */
function isRefusedTransaction(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown }
  return code === '08P01' && !String(message).includes('query_wait_timeout')
}

async function isShared(client: Client, own: SessionRow, other: Client): Promise<boolean> {
  for (let round = 0; round < PROBE_ROUNDS; round += 1) {
    const seen = await ask(other, `BEGIN; ${whoSql}`, PROBE_TIMEOUT_MS)
    const now = await ask(client, whoSql)
    if (seen?.mark === own.mark || now?.pid !== own.pid || now.mark !== own.mark) return true
    await ask(other, 'ROLLBACK', PROBE_TIMEOUT_MS)
  }
  return false
}

type Probed = 'shared' | 'own' | 'refused'

/**
 * Finds out whether a second connection shares the session of this one. The second holds a transaction open, so that a
 * pooler of transactions gives this one another session. `own` also where the pooler has no session left; `refused` where
 * it takes no further client.
 */
async function probe(client: Client, own: SessionRow, config: ClientConfig): Promise<Probed> {
  const other = new Client(config)
  other.on('error', () => undefined)
  try {
    await other.connect()
  } catch (error) {
    destroy(other)
    return isOfPostgres(error) ? 'refused' : 'own'
  }
  try {
    return (await isShared(client, own, other)) ? 'shared' : 'own'
  } catch (error) {
    return isRefusedTransaction(error) ? 'shared' : 'own'
  } finally {
    destroy(other)
  }
}

/** Addresses whose pooler pools sessions, and the time of the last probe, so that not every new connection probes. */
const sessionPoolers = new Map<string, number>()
const PROBED_AGAIN_AFTER_MS = 60_000

export type SessionOptions = ClientConfig & {
  readonly databaseUrl?: string
  /** On top of the settings of every session. */
  readonly settings?: SessionSettings
}

/**
 * A connection that has the settings of {@link RELIED_ON} before its first statement. They are set by statements, since
 * poolers refuse most parameters of the startup message.
 */
export class SessionClient extends ClientClosedOnTimeout {
  readonly #options: SessionOptions
  /** The server's process of this session. */
  #pid = 0

  constructor(options: SessionOptions = {}) {
    super(options)
    this.#options = options
    // A broken connection rejects its statements; an `error` event without a listener would end the process.
    this.on('error', () => undefined)
  }

  get pid(): number {
    return this.#pid
  }

  async #open(): Promise<void> {
    try {
      await (Client.prototype.connect as () => Promise<unknown>).call(this)
      const mark = randomUUID()
      const row = await ask(this, settingsSql(this.#options.settings ?? {}, mark))
      this.#pid = row?.pid ?? 0
      // PostgreSQL names the process that serves the connection; a pooler names a number of its own.
      if (this.#pid !== firstProcessOf(this)) await this.#expectOwnSession({ pid: this.#pid, mark })
    } catch (error) {
      destroy(this)
      throw error instanceof UnsuitableSessionError || isOfPostgres(error) ? error : new ConnectionError(error)
    }
  }

  async #expectOwnSession(own: SessionRow): Promise<void> {
    const address = this.#options.databaseUrl ?? ''
    if (performance.now() - (sessionPoolers.get(address) ?? -PROBED_AGAIN_AFTER_MS) < PROBED_AGAIN_AFTER_MS) return
    const probed = await probe(this, own, this.#options)
    if (probed === 'shared') throw new UnsuitableSessionError(TRANSACTION_POOLING)
    if (probed === 'own') sessionPoolers.set(address, performance.now())
  }

  /** Rejects where the session is not the one that was opened. */
  expectSameSession(pid: number): void {
    if (pid !== this.#pid) throw new UnsuitableSessionError(TRANSACTION_POOLING)
  }

  // pg declares two signatures, and pg-pool uses the one with a callback.
  override connect = ((callback?: (error: unknown) => void) => {
    if (callback === undefined) return this.#open()
    callbackify(async () => this.#open())(callback)
    return undefined
  }) as unknown as Client['connect']
}

/**
 * Takes address, user, TLS and `options` from a URL, and no other parameter, since those would replace settings of the
 * session. `options` stays because hosting services find the database by it.
 */
export function sessionOptions(databaseUrl: string, settings: SessionSettings = {}): SessionOptions {
  const { host, port, user, password, database, ssl, sslnegotiation, options, ...others } = parse(
    databaseUrl,
  ) as unknown as Record<string, unknown>
  const given = { host, port, user, password, database, ssl, sslnegotiation, options }
  return {
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null)),
    ...(/^(require|prefer)$/.test(String(others['channel_binding'])) ? { enableChannelBinding: true } : {}),
    application_name: 'persona-ingest',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_AFTER_MS,
    databaseUrl,
    settings,
  }
}
