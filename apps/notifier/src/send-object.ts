import {
  claimNotification,
  releaseNotification,
  settleFailed,
  settleSent,
  type Claim,
  type ClaimedNotification,
  type Database,
} from '@persona-ingest/database'
import { RepeatedLine, type Logger } from '@persona-ingest/service'
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { EndpointHealth } from './endpoint-health.ts'
import type { Endpoint } from './endpoint.ts'
import { EndpointError } from './endpoint-error.ts'
import { bodyOf, messageIdOf, type Signer } from './message.ts'
import type { NotifierMetrics } from './metrics.ts'
import type { DatabaseOutage } from './outages.ts'
import { retryMs, type Schedule } from './schedule.ts'

export type SendContext = {
  readonly database: Database
  readonly endpoint: Endpoint
  readonly health: Pick<EndpointHealth, 'noteSent' | 'noteFailed'>
  readonly signer: Signer
  readonly consumer: string
  readonly timeoutMs: number
  readonly schedule: Schedule
  readonly metrics: NotifierMetrics
  readonly logger: Logger
  readonly outage: DatabaseOutage
  /** Called for an object that is to be sent again at once. */
  readonly sendAgain: (objectId: string) => void
  /** Aborted when a drain takes too long: requests under way end without an outcome. */
  readonly interruption: AbortSignal
}

/** Time for an outcome to be stored before the claim of its attempt ends. */
const SETTLE_MS = 2_500
const SETTLE_RETRY_MS = 200
const REPEATED_LINE_MS = 10_000

type Outcome = { readonly kind: 'sent' } | { readonly kind: 'failed'; readonly error: EndpointError }

function newFailureLine(logger: Logger): RepeatedLine<string> {
  return new RepeatedLine({
    everyMs: REPEATED_LINE_MS,
    write(key, count) {
      const [code = '', detail] = key.split(' ')
      logger.warn({ code, ...(detail === undefined ? {} : { detail }), count }, 'notifications fail, they are repeated')
    },
  })
}

/**
 * Makes the function that sends what is due of an object: claim, request, outcome.
 *
 * The claim is a time in PostgreSQL. A request ends before its claim does, so that two processes never send changes of one
 * object at once, whatever Redis has lost.
 */
export function createSender(context: SendContext): (objectId: string) => Promise<void> {
  const { database, consumer, timeoutMs, outage } = context
  const failureLine = newFailureLine(context.logger)
  return async (objectId) => {
    const claim = { consumer, objectId, claim: randomUUID() }
    const claimedAtMs = performance.now()
    let notification: ClaimedNotification | null
    try {
      notification = await claimNotification(database, { ...claim, claimMs: timeoutMs + 2 * SETTLE_MS })
    } catch (error) {
      // The object stays due: it is added again once the database answers.
      return outage.note(error)
    }
    outage.end()
    if (notification === null) return
    const leftMs = timeoutMs + SETTLE_MS - (performance.now() - claimedAtMs)
    const outcome = await attempt(context, notification, Math.min(timeoutMs, leftMs))
    if (outcome.kind === 'failed') {
      const { code, status, causeCode } = outcome.error
      failureLine.note([code, status ?? causeCode ?? undefined].filter((part) => part !== undefined).join(' '))
    }
    await untilStored(context, () => settle(context, { claim, notification, outcome }))
  }
}

async function attempt(context: SendContext, notification: ClaimedNotification, timeoutMs: number): Promise<Outcome> {
  const { endpoint, signer, consumer, metrics, logger, interruption: signal } = context
  const { objectId, version, attempts } = notification
  const body = bodyOf(notification)
  const id = messageIdOf(consumer, notification)
  const stopTimer = metrics.requestTime.startTimer()
  try {
    // The claim took its time to come: another process may have the object by now.
    if (timeoutMs <= 0) throw new EndpointError('NOTIFICATION_INTERRUPTED')
    const headers = signer({ id, body, nowMs: Date.now() })
    const { isCut, status } = await endpoint.post({ headers, body, timeoutMs, signal })
    if (isCut) metrics.cutAnswers.inc()
    metrics.requests.inc({ outcome: 'sent' })
    context.health.noteSent()
    metrics.changedToSent.observe(Math.max(0, Date.now() - notification.changedAt.getTime()) / 1000)
    logger.debug({ objectId, version: Number(version), messageId: id, status, isCut, attempts }, 'notification sent')
    return { kind: 'sent' }
  } catch (thrown) {
    // What is no failure of the endpoint is one of this program: it is told, and the attempt is repeated.
    if (!(thrown instanceof EndpointError)) logger.error({ err: thrown }, 'a notification could not be made')
    const error = thrown instanceof EndpointError ? thrown : new EndpointError('ENDPOINT_UNREACHABLE')
    const { code, status, causeCode } = error
    metrics.requests.inc({ outcome: code })
    if (code !== 'NOTIFICATION_INTERRUPTED') context.health.noteFailed()
    const about = { objectId, version: Number(version), messageId: id, code, status, causeCode, attempts }
    logger.debug(about, 'notification failed')
    return { kind: 'failed', error }
  } finally {
    stopTimer()
  }
}

type Settled = { readonly claim: Claim; readonly notification: ClaimedNotification; readonly outcome: Outcome }

async function settle(context: SendContext, { claim, notification, outcome }: Settled): Promise<void> {
  const { database, schedule, metrics, logger } = context
  const { objectId, version, attempts } = notification
  if (outcome.kind === 'sent') {
    if (await settleSent(database, claim, version)) context.sendAgain(objectId)
    return
  }
  const { code, status } = outcome.error
  if (code === 'NOTIFICATION_INTERRUPTED') return void (await releaseNotification(database, claim))
  const state = await settleFailed(database, claim, {
    version,
    error: code,
    status,
    retryMs: retryMs(attempts + 1, schedule),
    firstRetryMs: retryMs(1, schedule),
    giveUpAfterMs: schedule.giveUpAfterMs,
  })
  if (state !== 'failed') return
  metrics.givenUp.inc()
  logger.error({ objectId, version: Number(version), code, status }, 'notification given up: see ops changes failed')
}

/** Repeats during an outage of the database: a version that was answered with 2xx must be forgotten. */
async function untilStored(
  { outage, interruption }: Pick<SendContext, 'outage' | 'interruption'>,
  store: () => Promise<void>,
): Promise<void> {
  for (;;) {
    try {
      await store()
      return outage.end()
    } catch (error) {
      outage.note(error)
    }
    if (interruption.aborted) return
    await pause(SETTLE_RETRY_MS, undefined, { signal: interruption }).catch(() => undefined)
  }
}
