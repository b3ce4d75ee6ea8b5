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
export function wordsForCode(code: string): string {
  const words = UNKNOWN_CA_CODES.test(code) ? UNKNOWN_CA : (WORDS[code] ?? 'the database does not answer')
  return `${words} (${code})`
}

/** What an error says that has no SQLSTATE, in words of ours; null where nothing is known of it. */
export function connectionWords(error: unknown): string | null {
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
 * A connection that could not be opened. Prisma's driver adapter takes the code away from errors of the network and of
 * TLS that it knows; it leaves this one as it is.
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
