import { UnusableEventError } from '@persona-ingest/persona'

import { DecryptionError } from './encrypted-values.ts'

/** What an error of the network, of TLS or of the driver means, by its code; codes hold nobody's data. */
const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the host of DATABASE_URL has no address',
  EAI_AGAIN: 'the name service does not answer',
  ECONNREFUSED: 'no server listens at the address of DATABASE_URL',
  ECONNRESET: 'connection lost',
  EPIPE: 'connection lost',
  ETIMEDOUT: 'the host of DATABASE_URL does not answer',
  EHOSTUNREACH: 'the host of DATABASE_URL cannot be reached',
  ENETUNREACH: 'the host of DATABASE_URL cannot be reached',
  ENOENT: 'the socket that DATABASE_URL names is not there',
  EACCES: 'the socket that DATABASE_URL names may not be opened',
  P2028: 'a transaction could not be begun in time, or took too long',
  CERT_HAS_EXPIRED: "the server's certificate has expired",
  CERT_NOT_YET_VALID: "the server's certificate is not valid yet",
  ERR_TLS_CERT_ALTNAME_INVALID: "the server's certificate is for another host",
}

const UNKNOWN_CA = "the server's certificate is from a CA that is not known here; give it with sslrootcert"
const UNKNOWN_CA_CODES =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(GET_ISSUER_CERT(_LOCALLY)?|VERIFY_LEAF_SIGNATURE))$/

/** Constant messages of pg and pg-pool, which have no code. */
const DRIVER_WORDS: readonly (readonly [RegExp, string])[] = [
  [/^Query read timeout/, 'the database does not answer: a statement got no answer in time'],
  [/^timeout exceeded when trying to connect/, 'no connection was free in time'],
  [
    /^(timeout expired|Connection terminated due to connection timeout)/,
    'the database does not answer: no connection was opened in time',
  ],
  [/^Connection terminated/, 'connection lost'],
  [/^The server does not support SSL connections/, 'the server does not support TLS'],
  [/^SASL: .*client password must be/, 'the server asks for a password and DATABASE_URL has none'],
  [/^SASL: /, 'the server and the driver do not agree on how to log in'],
]

const CODE = /^[A-Z][A-Z0-9_]{2,60}$/

type Coded = {
  readonly code?: unknown
  readonly message?: unknown
  readonly cause?: unknown
  readonly errors?: unknown
}

/** The code of a failed connection; where several addresses were tried, that of the first. */
function codeOf(error: unknown): string | null {
  const { code, errors } = (error ?? {}) as Coded
  if (typeof code === 'string' && CODE.test(code)) return code
  return Array.isArray(errors) && errors.length > 0 ? codeOf(errors[0]) : null
}

/** Words for a code of the network or of TLS. */
function wordsForCode(code: string): string {
  const words = UNKNOWN_CA_CODES.test(code) ? UNKNOWN_CA : (WORDS[code] ?? 'the database does not answer')
  return `${words} (${code})`
}

/** What an error says that has no SQLSTATE, in words of ours; null where nothing is known of it. */
function connectionWords(error: unknown): string | null {
  if (error instanceof ConnectionError) return error.message
  const code = codeOf(error)
  if (code !== null) return wordsForCode(code)
  const { message, cause } = (error ?? {}) as Coded
  const text = typeof message === 'string' ? message : ''
  return (
    DRIVER_WORDS.find(([pattern]) => pattern.test(text))?.[1] ??
    (cause instanceof Error ? connectionWords(cause) : null)
  )
}

/**
 * Reports a connection that could not be opened, by a constant message and the code of the cause.
 *
 * It does not extend `CodedError`: Prisma's client (7.10.0) replaces an error that has a `code`, and its driver adapter
 * drops the codes of the network and of TLS. No upstream issue found.
 */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  /** The system's or TLS' code, such as `ENOTFOUND`; null where there is none. */
  readonly reason: string | null

  constructor(cause: unknown) {
    super(connectionWords(cause) ?? 'the database does not answer', { cause })
    this.reason = codeOf(cause)
  }
}

/** Whether an error is PostgreSQL's own word, which has a SQLSTATE. */
export function isOfPostgres(error: unknown): boolean {
  return typeof (error as { readonly severity?: unknown } | null)?.severity === 'string'
}

/** Reports a connection that no retry makes usable, by a constant message. It has no `code`: see {@link ConnectionError}. */
export class UnsuitableSessionError extends Error {
  override readonly name = 'UnsuitableSessionError'
}

/**
 * Whose failure an error is.
 *
 * - `outage`: the database is away, or not ready for anybody; costs time, never an event's attempt.
 * - `unclear`: the database refused; an outage, unless one event meets it alone while others pass.
 * - `event`: PostgreSQL refuses a value (SQLSTATE classes 22, 23, 54); no retry changes that.
 * - `key`: a stored document that the event needs can't be decrypted; costs that event time, and no attempt.
 */
export type FailureKind = 'outage' | 'unclear' | 'event' | 'key'

export type Failure = {
  readonly kind: FailureKind
  readonly sqlState: string | null
  /** Words of our own: PostgreSQL's texts quote values, which may be personal data. */
  readonly description: string
  /** Of a failure of kind `key`: the id of the key that the document is encrypted with, and whether that key is here. */
  readonly key?: { readonly id: string; readonly isHere: boolean }
}

type AdapterCause = {
  readonly originalCode?: string
  readonly kind?: string
  readonly table?: string
  readonly constraint?: { readonly index?: string }
}

type AdapterError = { readonly name?: string; readonly cause?: AdapterCause }

/** What PostgreSQL said, from an error of the driver adapter, by itself or inside one of Prisma's client. */
function adapterCause(error: unknown): AdapterCause | null {
  const own = error as (AdapterError & { readonly meta?: { readonly driverAdapterError?: AdapterError } }) | null
  return (own?.name === 'DriverAdapterError' ? own.cause : own?.meta?.driverAdapterError?.cause) ?? null
}

/** The five-character SQLSTATE of an error that came through Prisma or pg, or null where it has none. */
export function sqlStateOf(error: unknown): string | null {
  const cause = adapterCause(error)
  if (cause !== null) return cause.originalCode ?? null
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  // pg's own errors have a severity; a code alone is Prisma's (P2010) or the system's (EPIPE).
  return typeof code === 'string' && typeof severity === 'string' ? code : null
}

/** Tells whether an error is a duplicate key (SQLSTATE 23505) of a table. */
export function isUniqueViolation(error: unknown, table: string): boolean {
  const cause = adapterCause(error)
  return cause?.originalCode === '23505' && (cause.table === table || cause.constraint?.index === `${table}_pkey`)
}

/** No connection, no right to one, shutting down, a database that is not migrated (yet), or a session that is not ours. */
const OUTAGE_STATES = /^(08|28|3D|3F|57P|53300|42P01|42703|42883|26000|42P05|PI002)/
const EVENT_STATES = /^(22|23|54)/

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  '08P01': 'the server, or a pooler in front of it, refuses how we connect (docs/poolers.md)',
  '22001': 'text too long for its column',
  '22003': 'number out of the range that PostgreSQL can hold',
  '22007': 'invalid date or time',
  '22008': 'date or time out of range',
  '22021': 'character that PostgreSQL cannot hold',
  '22P02': 'text that PostgreSQL cannot read as the column needs',
  '22P05': 'character that PostgreSQL cannot hold',
  '23502': 'a value is missing where one is required',
  '23505': 'duplicate key',
  '23514': 'a check of the table refuses the value',
  '25006': 'the database is read-only',
  '26000': 'a pooler gave another session than the one a statement was prepared in (docs/poolers.md)',
  '40001': 'transactions in conflict',
  '40P01': 'deadlock',
  '42P05': 'a pooler gave another session than the one a statement was prepared in (docs/poolers.md)',
  '42P01': 'a table is missing: run db:migrate',
  '42501': 'the user of DATABASE_URL lacks a right that this needs',
  '53100': 'disk full',
  '53200': 'out of memory',
  '53300': 'too many connections',
  '54000': 'a limit of PostgreSQL is exceeded',
  '54001': 'nested too deeply for max_stack_depth of PostgreSQL',
  '55P03': 'a lock was not to be had in time',
  '57014': 'statement timeout',
  '57P01': 'the database is shutting down',
  '57P03': 'the database is starting up',
  PI002: 'transactions are not READ COMMITTED: the program that asks is too old',
}
const CLASS_DESCRIPTIONS: Readonly<Record<string, string>> = {
  '08': 'connection lost',
  '22': 'a value that PostgreSQL refuses',
  '23': 'a constraint that the event violates',
  '28': 'access to the database denied',
  '53': 'the database is out of a resource',
  '54': 'a limit of PostgreSQL is exceeded',
}

/** The driver adapter's own words for what it takes the code from. */
const ADAPTER_KINDS: Readonly<Record<string, string>> = {
  DatabaseNotReachable: wordsForCode('ECONNREFUSED'),
  ConnectionClosed: wordsForCode('ECONNRESET'),
  SocketTimeout: wordsForCode('ETIMEDOUT'),
}

function describe(error: unknown, sqlState: string | null, kind: FailureKind): string {
  if (sqlState === null) {
    if (kind !== 'outage') return 'unexpected failure'
    return ADAPTER_KINDS[adapterCause(error)?.kind ?? ''] ?? connectionWords(error) ?? 'the database does not answer'
  }
  const words = DESCRIPTIONS[sqlState] ?? CLASS_DESCRIPTIONS[sqlState.slice(0, 2)] ?? 'the database refuses'
  return `${words} (SQLSTATE ${sqlState})`
}

function kindOf(error: unknown, sqlState: string | null): FailureKind {
  // Faults of our own, or limits of the process: what nobody foresaw ends no event before its attempts are used up.
  if (error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError) return 'unclear'
  if (sqlState === null) return 'outage'
  if (OUTAGE_STATES.test(sqlState)) return 'outage'
  return EVENT_STATES.test(sqlState) ? 'event' : 'unclear'
}

/** What the database says to anybody while it is short of something, read-only or overloaded, or moves to another host. */
const OUTAGE_WORDS = /^(25006|40001|40P01|53...|55P03|57014|57P..)$/

/**
 * Whether an event that meets this failure alone has proved nothing yet: it may be an outage that other writes escape.
 * Only other events that are stored meanwhile tell the two apart.
 */
export function readsAsOutage({ kind, sqlState }: Failure): boolean {
  return kind === 'outage' || (kind === 'unclear' && OUTAGE_WORDS.test(sqlState ?? ''))
}

/** Judges an error of a database call. Never throws; never carries the error's own text. */
export function failureOf(error: unknown): Failure {
  const sqlState = sqlStateOf(error)
  const kind = kindOf(error, sqlState)
  if (error instanceof UnusableEventError)
    return { kind: 'event', sqlState, description: 'what the log holds of it is no event any more' }
  // Ends with the key: nothing may be given up for a setting that is wrong.
  if (error instanceof DecryptionError) {
    const key = { id: error.keyId, isHere: error.isChanged }
    return { kind: 'key', sqlState, description: error.message, key }
  }
  if (error instanceof UnsuitableSessionError) return { kind: 'outage', sqlState, description: error.message }
  return { kind, sqlState, description: describe(error, sqlState, kind) }
}
