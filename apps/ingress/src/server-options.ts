import { randomUUID } from 'node:crypto'
import {
  LogController,
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import { AddressSet, type Logger } from '@persona-ingest/service'
import { BoundedRequest } from './bounded-request.ts'
import { answerClientError } from './client-error.ts'
import type { IngressEnv } from './env.ts'
import { errorAnswerer } from './plugins/error-answers.ts'
import type { Refusals } from './refusals.ts'

/** Twice what the provider waits for an answer: whoever sends slower than that is not the provider, or not there. */
export const REQUEST_TIMEOUT_MS = 10_000

/**
 * Connections that wait to be accepted. Node.js accepts one per pass of its event loop, in their order, and the kernel
 * hands out those that were reset meanwhile too. With 4096, 50 clients that reset each connection after 5 ms made others
 * wait 8 s. With Node.js' default of 511 an honest burst of 1,000 overflowed: the kernel drops what the client takes for
 * sent, and TCP sends again after 1, 3, 7 s; answers after 13.6 s were measured.
 */
export const LISTEN_BACKLOG = 1024

/**
 * Fastify reads a bare number as "trust nobody" (5.12), since a hop count cannot tell a proxy from a direct client. Here it
 * means that many hops, counted from the socket. Safe only where nothing but the proxies reaches the port, which the log
 * says at start. A list is ours to judge too: Fastify refuses ranges such as 0.0.0.0/0 with a TypeError, and takes no
 * address with a port for a proxy's.
 *
 * @see docs/contract.md#3-environment-and-processes
 */
function trustedProxies(trustProxy: IngressEnv['TRUST_PROXY']): NonNullable<FastifyServerOptions['trustProxy']> {
  if (typeof trustProxy === 'boolean') return trustProxy
  if (typeof trustProxy === 'number') return (_address, hop) => hop < trustProxy
  const proxies = new AddressSet(trustProxy)
  return (address) => proxies.has(address)
}

/** Fastify finds no route for a URL that it cannot decode, so that neither our hooks nor our error handler run. */
function unroutableAnswerer(refusals: Refusals) {
  const answerError = errorAnswerer(refusals)
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    reply.header('connection', 'close')
    answerError(error, request, reply)
  }
}

/** Fastify's own options: every limit on purpose, with its reason. */
export function serverOptions(env: IngressEnv, logger: Logger, refusals: Refusals) {
  return {
    loggerInstance: logger as FastifyBaseLogger,
    // Fastify's lines hold URLs and client addresses (personal data); we write one line of our own per delivery.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    // Unique over all processes: the worker's log lines carry it too.
    genReqId: () => randomUUID(),
    trustProxy: trustedProxies(env.TRUST_PROXY),
    bodyLimit: env.BODY_LIMIT_BYTES,
    // While closing, requests on kept connections go through our own routes, which say DRAINING in our own form.
    return503OnClosing: false,
    // The whole request must be here by then, a dripping body included.
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Silence in either direction, such as a client that does not read its answer. Above the longest honest silence:
    // 4 s between the last byte and our answer.
    connectionTimeout: 15_000,
    // Longer than the idle time of the usual load balancers (60 s), or they reuse a connection that we just closed.
    keepAliveTimeout: 75_000,
    // No maxRequestsPerSocket: the provider's connections are few and long, cutting them gains nothing.
    http: {
      // Node.js looks for late requests every 30 s by default: the limit of 10 s would be one of 40.
      connectionsCheckingInterval: 1000,
      headersTimeout: 5000,
      // Node.js' default, on purpose: a rotation's signature is 200 bytes, proxies and OAuth tokens add a few KiB.
      maxHeaderSize: 16_384,
      IncomingMessage: BoundedRequest,
      // A missing Host is nothing to us, and Node.js would refuse it with an empty answer.
      requireHostHeader: false,
    },
    frameworkErrors: unroutableAnswerer(refusals),
    clientErrorHandler: (error, socket) => answerClientError(error, socket, refusals),
  } satisfies FastifyServerOptions & { http: object }
}
