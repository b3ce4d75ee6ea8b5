import { CodedError } from '@persona-ingest/core'

type ErrorRow = {
  readonly status: number
  readonly title: string
  readonly detail: string
  /** Seconds. */
  readonly retryAfter?: number
}

/** Method and path of deliveries, for answers and log lines about other requests. */
export const DELIVERY_ROUTE = 'POST /webhooks/persona'

/**
 * Every error that the public port answers with. Codes are stable; a retired code stays here as a comment and is never
 * reused. A test compares the table with `docs/errors.md`. Texts are constant and contain nothing of a request.
 */
export const errors = {
  REQUEST_MALFORMED: {
    status: 400,
    title: 'Malformed request',
    detail: 'The request is not valid HTTP, has two Host headers, or its URL cannot be decoded.',
  },
  REQUEST_INCOMPLETE: {
    status: 400,
    title: 'Incomplete request',
    detail: 'The body ended before its announced length.',
  },
  BODY_FRAGMENTED: {
    status: 400,
    title: 'Body fragmented',
    detail: 'The body came in too many pieces for its length; send larger chunks.',
  },
  SIGNATURE_MISSING: {
    status: 401,
    title: 'Signature missing',
    detail: 'The Persona-Signature header is required.',
  },
  SIGNATURE_MALFORMED: {
    status: 401,
    title: 'Signature malformed',
    detail: 'Expected groups of t=<unix seconds>,v1=<hex of HMAC-SHA256>, separated by blanks.',
  },
  SIGNATURE_MISMATCH: {
    status: 401,
    title: 'Signature mismatch',
    detail: 'No group of the Persona-Signature header matches the body with any configured secret.',
  },
  SIGNATURE_TOO_OLD: {
    status: 401,
    title: 'Signature too old',
    detail: 'The signature matches, but its time is older than this service tolerates.',
  },
  SIGNATURE_IN_FUTURE: {
    status: 401,
    title: 'Signature in the future',
    detail: "The signature matches, but its time is ahead of this service's clock.",
  },
  ADDRESS_NOT_ALLOWED: {
    status: 403,
    title: 'Address not allowed',
    detail: 'Deliveries are taken from listed addresses only.',
  },
  NOT_FOUND: {
    status: 404,
    title: 'Not found',
    detail: `There is nothing at this path; deliveries go to ${DELIVERY_ROUTE}, without a slash at the end.`,
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    title: 'Method not allowed',
    detail: `This path does not take this method; the Allow header names those it takes. Deliveries go to ${DELIVERY_ROUTE}.`,
  },
  REQUEST_TIMEOUT: { status: 408, title: 'Request timeout', detail: 'The request did not arrive completely in time.' },
  BODY_TOO_LARGE: { status: 413, title: 'Body too large', detail: 'The body is over the limit of this service.' },
  CONTENT_TYPE_UNSUPPORTED: {
    status: 415,
    title: 'Content type unsupported',
    detail: 'Expected the content type application/json or application/vnd.api+json.',
  },
  EXPECTATION_FAILED: {
    status: 417,
    title: 'Expectation failed',
    detail: 'The only expectation that this service meets is 100-continue.',
  },
  HEADERS_TOO_LARGE: {
    status: 431,
    title: 'Headers too large',
    detail: 'The headers are over the limit of this service.',
  },
  INTERNAL_ERROR: { status: 500, title: 'Internal error', detail: 'The request failed; it may be sent again.' },
  QUEUE_UNAVAILABLE: {
    status: 503,
    title: 'Queue unavailable',
    detail: 'The event could not be stored durably in time; send it again later.',
    retryAfter: 5,
  },
  BACKLOG_EXCEEDED: {
    status: 503,
    title: 'Backlog exceeded',
    detail: 'Too many events wait to be processed; send it again later.',
    retryAfter: 30,
  },
  BODY_BUDGET_EXCEEDED: {
    status: 503,
    title: 'Body budget exceeded',
    detail: 'Too many large bodies are being read at once; send it again later.',
    retryAfter: 3,
  },
  DRAINING: {
    status: 503,
    title: 'Draining',
    detail: 'This process is about to end; send it again.',
    retryAfter: 1,
  },
} as const satisfies Record<string, ErrorRow>

export type IngressErrorCode = keyof typeof errors

/** Thrown for an answer of the error table. `cause` is for the log only. */
export class IngressError extends CodedError<IngressErrorCode> {
  override readonly name = 'IngressError'

  constructor(code: IngressErrorCode, cause?: unknown) {
    // Any client can cause a refusal, and a stack costs more than the rest of it.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = errors[code].status < 500 ? 0 : stackTraceLimit
    super(code, errors[code].detail, cause === undefined ? undefined : { cause })
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** A row of the table, with the members that only some rows have. */
export function errorRow(code: IngressErrorCode): ErrorRow {
  return errors[code]
}

/** The media type of JSON:API, which forbids a charset. */
export const ERROR_MEDIA_TYPE = 'application/vnd.api+json'

function write(code: IngressErrorCode): Buffer {
  const { status, title, detail } = errorRow(code)
  return Buffer.from(JSON.stringify({ errors: [{ status: String(status), code, title, detail }] }))
}

const documents = new Map((Object.keys(errors) as IngressErrorCode[]).map((code) => [code, write(code)]))

/**
 * The JSON:API document of an error. It is constant, hence written once, as bytes: Fastify does not change the content type
 * of bytes.
 */
export function errorDocument(code: IngressErrorCode): Buffer {
  return documents.get(code) ?? write(code)
}
