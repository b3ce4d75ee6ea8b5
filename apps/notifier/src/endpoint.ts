import { lookup as systemLookup, type LookupAddress, type LookupAllOptions } from 'node:dns'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { LookupFunction } from 'node:net'
import { isAllowed, policyOf, type AddressPolicy } from './addresses.ts'
import { codeOf, EndpointError, faultOfRequest, faultOfStatus } from './endpoint-error.ts'

/** Resolves a name to all its addresses, as `dns.lookup` with `all`. */
export type Resolve = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

export type EndpointOptions = {
  readonly url: string
  readonly isPrivateAllowed: boolean
  /** Connections at most. */
  readonly concurrency: number
  /** For tests; default: the system's resolver. */
  readonly resolve?: Resolve | undefined
}

export type Post = {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Time for the whole request, in ms. */
  readonly timeoutMs: number
  /** Ends the request: `NOTIFICATION_INTERRUPTED`. */
  readonly signal: AbortSignal
}

/** A successful answer. `isCut`: its body was longer than the limit, so that the connection was closed. */
export type Accepted = { readonly status: number; readonly isCut: boolean }

/** The one URL that notifications go to. */
export interface Endpoint {
  /** Resolves at an answer of 2xx; rejects with an `EndpointError`. Takes `timeoutMs` and a second more at most. */
  post(request: Post): Promise<Accepted>
  /** Ends all connections. */
  close(): void
}

/** Bytes of an answer's body that are read and dropped. A short body is read to its end: the connection is used again. */
const MAX_ANSWER_BYTES = 65_536
const MAX_HEADER_BYTES = 16_384
const READ_ANSWER_MS = 1_000
const IDLE_MS = 15_000

/**
 * Makes the function that resolves the endpoint's name for a connection. What it gives is what is connected to: a name that
 * resolves to another address a moment later changes nothing.
 */
export function guardedLookup(policy: AddressPolicy, resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, [])
      const allowed = addresses.filter(({ address }) => isAllowed(address, policy))
      const [first] = allowed
      if (first === undefined) return callback(new EndpointError('ENDPOINT_ADDRESS_REFUSED'), [])
      if (options.all === true) return callback(null, allowed)
      callback(null, first.address, first.family)
    })
  }
}

/** Reads the rest of an answer, as far as that is short and soon over. Resolves to whether it was cut. */
async function readRest(answer: IncomingMessage): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    let bytes = 0
    const end = (isCut: boolean) => {
      clearTimeout(timer)
      if (isCut) answer.destroy()
      resolve(isCut)
    }
    const timer = setTimeout(() => end(true), READ_ANSWER_MS)
    answer.on('error', () => end(true))
    answer.on('close', () => end(!answer.complete))
    answer.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > MAX_ANSWER_BYTES) end(true)
    })
  })
}

type Sent = { readonly answer: Promise<IncomingMessage>; readonly wasReused: () => boolean }

type Target = { readonly url: URL; readonly options: RequestOptions; readonly isPlain: boolean }

function send({ url, options, isPlain }: Target, { headers, body, timeoutMs, signal }: Post): Sent {
  const length = { 'content-length': Buffer.byteLength(body) }
  const request = (isPlain ? httpRequest : httpsRequest)(url, {
    ...options,
    method: 'POST',
    headers: { ...headers, ...length },
    maxHeaderSize: MAX_HEADER_BYTES,
  })
  const timer = setTimeout(() => request.destroy(new EndpointError('ENDPOINT_TIMEOUT')), timeoutMs)
  const interrupt = () => request.destroy(new EndpointError('NOTIFICATION_INTERRUPTED'))
  signal.addEventListener('abort', interrupt, { once: true })
  if (signal.aborted) interrupt()
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve)
    // Without a listener a late error would end the process.
    request.on('error', reject)
    request.on('close', () => reject(new EndpointError('ENDPOINT_UNREACHABLE')))
  }).finally(() => {
    clearTimeout(timer)
    signal.removeEventListener('abort', interrupt)
  })
  request.end(body)
  return { answer, wasReused: () => request.reusedSocket }
}

/** A server may end an idle connection at the very moment at which it is used again. */
function isStaleConnection(error: unknown): boolean {
  return ['ECONNRESET', 'EPIPE'].includes(codeOf(error) ?? '')
}

/**
 * Opens the endpoint. Redirects are not followed, and of an answer only the status counts. Certificates of other
 * authorities than Node.js' own come with `NODE_EXTRA_CA_CERTS`.
 */
export function openEndpoint(options: EndpointOptions): Endpoint {
  const { isPrivateAllowed, concurrency, resolve = systemLookup } = options
  const url = new URL(options.url)
  const isPlain = url.protocol === 'http:'
  const lookup = guardedLookup(policyOf(url, isPrivateAllowed), resolve)
  const agentOptions = { keepAlive: true, maxSockets: concurrency, timeout: IDLE_MS }
  const agent = isPlain ? new HttpAgent(agentOptions) : new HttpsAgent(agentOptions)
  const answerOf = async (post: Post): Promise<IncomingMessage> => {
    const startedAtMs = performance.now()
    const first = send({ url, isPlain, options: { agent, lookup } }, post)
    try {
      return await first.answer
    } catch (error) {
      if (!first.wasReused() || !isStaleConnection(error)) throw error
      const timeoutMs = Math.max(1, post.timeoutMs - (performance.now() - startedAtMs))
      return await send({ url, isPlain, options: { agent: false, lookup } }, { ...post, timeoutMs }).answer
    }
  }
  return {
    async post(post) {
      const answer = await answerOf(post).catch((error: unknown) => {
        throw faultOfRequest(error)
      })
      const status = answer.statusCode ?? 0
      const isCut = await readRest(answer)
      const fault = faultOfStatus(status)
      if (fault !== null) throw fault
      return { status, isCut }
    },
    close: () => agent.destroy(),
  }
}
