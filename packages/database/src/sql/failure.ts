import { UnusableEventError } from '@persona-ingest/persona'
import { DecryptionError } from './row-values.ts'

/** Descriptions of errors of the network, of TLS and of the driver, by code. */
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

/** The code of a failed connection; of several addresses, the code of the first. */
function codeOf(error: unknown): string | null {
  const { code, errors } = (error ?? {}) as Coded
  if (typeof code === 'string' && CODE.test(code)) return code
  return Array.isArray(errors) && errors.length > 0 ? codeOf(errors[0]) : null
}

function wordsForCode(code: string): string {
  const words = UNKNOWN_CA_CODES.test(code) ? UNKNOWN_CA : (WORDS[code] ?? 'the database does not answer')
  return `${words} (${code})`
}

/** Describes an error without a SQLSTATE; null for an unknown one. */
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

/** Whether PostgreSQL itself reported the error, with a SQLSTATE. */
export function isOfPostgres(error: unknown): boolean {
  return typeof (error as { readonly severity?: unknown } | null)?.severity === 'string'
}

/** Reports a connection that no retry makes usable, by a constant message. It has no `code`: see {@link ConnectionError}. */
export class UnsuitableSessionError extends Error {
  override readonly name = 'UnsuitableSessionError'
}

/**
 * The kind of a failure, which decides between a requeue, a retry and a dead letter.
 *
 * - `outage`: the database is away or takes no statements. No event loses an attempt.
 * - `unclear`: the database refused. An outage, unless only one event fails while others pass.
 * - `event`: PostgreSQL refuses a value (SQLSTATE classes 22, 23, 54). No retry changes that.
 * - `key`: a stored document that the event needs can't be decrypted. The event waits and loses no attempt.
 */
export type FailureKind = 'outage' | 'unclear' | 'event' | 'key'

export type Failure = {
  readonly kind: FailureKind
  readonly sqlState: string | null
  /** Never a text of PostgreSQL, which quotes values that may be personal data. */
  readonly description: string
  /** Of the kind `key`: the id of the document's key, and whether that key is configured. */
  readonly key?: { readonly id: string; readonly isHere: boolean }
}

type AdapterCause = {
  readonly originalCode?: string
  readonly kind?: string
  readonly table?: string
  readonly constraint?: { readonly index?: string }
}

type AdapterError = { readonly name?: string; readonly cause?: AdapterCause }

/** PostgreSQL's report in an error of the driver adapter, which may stand inside an error of Prisma's client. */
function adapterCause(error: unknown): AdapterCause | null {
  const own = error as (AdapterError & { readonly meta?: { readonly driverAdapterError?: AdapterError } }) | null
  return (own?.name === 'DriverAdapterError' ? own.cause : own?.meta?.driverAdapterError?.cause) ?? null
}

/** Gives the five-character SQLSTATE of an error of Prisma or pg; null where it has none. */
export function sqlStateOf(error: unknown): string | null {
  const cause = adapterCause(error)
  if (cause !== null) return cause.originalCode ?? null
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  // A code without a severity is Prisma's (P2010) or the system's (EPIPE).
  return typeof code === 'string' && typeof severity === 'string' ? code : null
}

/** Whether an error is a duplicate key (SQLSTATE 23505) of a table. */
export function isUniqueViolation(error: unknown, table: string): boolean {
  const cause = adapterCause(error)
  return cause?.originalCode === '23505' && (cause.table === table || cause.constraint?.index === `${table}_pkey`)
}

/** No connection, no permission, a shutdown, a database that is not migrated yet, or another session of a pooler. */
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

/** Kinds of the driver adapter for errors whose code it drops. */
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
  // Faults of the program or limits of the process: an event keeps its attempts.
  if (error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError) return 'unclear'
  if (sqlState === null) return 'outage'
  if (OUTAGE_STATES.test(sqlState)) return 'outage'
  return EVENT_STATES.test(sqlState) ? 'event' : 'unclear'
}

/** States of a database that lacks a resource, is read-only or overloaded, or moves to another host. */
const OUTAGE_WORDS = /^(25006|40001|40P01|53...|55P03|57014|57P..)$/

/**
 * Whether a failure of a single event may still be an outage. Only other events that are stored meanwhile prove that it is
 * the event's own failure.
 */
export function readsAsOutage({ kind, sqlState }: Failure): boolean {
  return kind === 'outage' || (kind === 'unclear' && OUTAGE_WORDS.test(sqlState ?? ''))
}

/** Classifies an error of a database call. Never throws; the result never holds the error's own text. */
export function failureOf(error: unknown): Failure {
  const sqlState = sqlStateOf(error)
  const kind = kindOf(error, sqlState)
  if (error instanceof UnusableEventError)
    return { kind: 'event', sqlState, description: 'what the log holds of it is no event any more' }
  // A missing key is a wrong setting, for which no event may become a dead letter.
  if (error instanceof DecryptionError) {
    const key = { id: error.keyId, isHere: error.isChanged }
    return { kind: 'key', sqlState, description: error.message, key }
  }
  if (error instanceof UnsuitableSessionError) return { kind: 'outage', sqlState, description: error.message }
  return { kind, sqlState, description: describe(error, sqlState, kind) }
}
