import { CodedError } from '@persona-ingest/core'

/** Every way in which an attempt fails, with the words for the person on call. */
export const endpointFaults = {
  ENDPOINT_UNREACHABLE: 'no connection to the endpoint, or it was lost',
  ENDPOINT_NAME_UNRESOLVED: 'the name of the endpoint has no address, or the name service does not answer',
  ENDPOINT_ADDRESS_REFUSED: 'the name of the endpoint resolves to private addresses only',
  ENDPOINT_TLS_FAILED: 'the certificate or the TLS of the endpoint is not accepted',
  ENDPOINT_TIMEOUT: 'the endpoint did not answer within NOTIFIER_TIMEOUT_MS',
  ENDPOINT_REDIRECTED: 'the endpoint answered with a redirect, which is not followed',
  ENDPOINT_REJECTED: 'the endpoint answered with a status 4xx',
  ENDPOINT_FAILED: 'the endpoint answered with a status 5xx',
  ENDPOINT_ANSWER_INVALID: 'the endpoint answered with something that is no answer of HTTP, or with too many headers',
  NOTIFICATION_INTERRUPTED: 'the process ended before the endpoint answered',
} as const
export type EndpointFault = keyof typeof endpointFaults

/** An attempt that failed. `status`: of the answer; `causeCode`: of the system or of TLS; each null where there is none. */
export class EndpointError extends CodedError<EndpointFault> {
  override readonly name = 'EndpointError'
  readonly status: number | null
  readonly causeCode: string | null

  constructor(code: EndpointFault, more: { readonly status?: number; readonly causeCode?: string | null } = {}) {
    super(code, endpointFaults[code])
    this.status = more.status ?? null
    this.causeCode = more.causeCode ?? null
  }
}

/** The code of an error of Node.js; of several addresses that failed, the code of the first. */
export function codeOf(error: unknown): string | null {
  const { code, errors } = (error ?? {}) as { readonly code?: unknown; readonly errors?: unknown }
  if (typeof code === 'string' && /^[\w.-]{1,64}$/.test(code)) return code
  return Array.isArray(errors) && errors.length > 0 ? codeOf(errors[0]) : null
}

const TLS_CODES =
  /^(ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH$|INVALID_)/
const NAME_CODES = /^(ENOTFOUND|EAI_|ENODATA|ESERVFAIL|ETIMEOUT$|EREFUSED)/

/** Names the failure of a request that got no answer. */
export function faultOfRequest(error: unknown): EndpointError {
  if (error instanceof EndpointError) return error
  const causeCode = codeOf(error)
  if (causeCode === null) return new EndpointError('ENDPOINT_UNREACHABLE')
  if (causeCode.startsWith('HPE_')) return new EndpointError('ENDPOINT_ANSWER_INVALID', { causeCode })
  if (TLS_CODES.test(causeCode)) return new EndpointError('ENDPOINT_TLS_FAILED', { causeCode })
  if (NAME_CODES.test(causeCode)) return new EndpointError('ENDPOINT_NAME_UNRESOLVED', { causeCode })
  return new EndpointError('ENDPOINT_UNREACHABLE', { causeCode })
}

/** Gives the error code of an HTTP status; null for 2xx. */
export function faultOfStatus(status: number): EndpointError | null {
  if (status >= 200 && status < 300) return null
  if (status >= 300 && status < 400) return new EndpointError('ENDPOINT_REDIRECTED', { status })
  if (status >= 400 && status < 500) return new EndpointError('ENDPOINT_REJECTED', { status })
  if (status >= 500 && status < 600) return new EndpointError('ENDPOINT_FAILED', { status })
  return new EndpointError('ENDPOINT_ANSWER_INVALID', { status })
}
