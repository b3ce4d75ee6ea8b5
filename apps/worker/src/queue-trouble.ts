import type { Consumer, ConsumerOptions } from '@persona-ingest/queue'
import { describeError, RepeatedLine, type Logger } from '@persona-ingest/service'

type Listeners = {
  readonly [Name in 'onUnusable' | 'onUnreadable' | 'onUndecryptable' | 'onUnencrypted' | 'onError']: NonNullable<
    ConsumerOptions[Name]
  >
}

const TROUBLE_EVERY_MS = 10_000
/** Event ids in one line of the log. */
const MAX_NAMED = 10

/**
 * Makes the listeners for what the queue reports. An outage of Redis causes hundreds of reports a minute: each kind is
 * logged at once, then every 10 s at most with its count, and every single one at `debug`. Where Redis refuses what
 * REDIS_URL selects, the process ends.
 */
export function queueReports(
  logger: Logger,
  effects: {
    readonly end: () => void
    readonly metrics: () => {
      readonly unencrypted: { inc(deliveries: number): void }
      readonly deferred: { inc(labels: { readonly reason: string; readonly key_id: string }): void }
    }
  },
): Listeners {
  const trouble = new RepeatedLine<string>({
    everyMs: TROUBLE_EVERY_MS,
    write: (fault, count) => logger.warn({ fault, count }, 'queue in trouble, trying again'),
  })
  const unencrypted = new RepeatedLine<'jobs'>({
    everyMs: TROUBLE_EVERY_MS,
    write: (_, jobs) =>
      logger.warn({ jobs }, 'jobs came unencrypted, set QUEUE_ENCRYPTION_KEYS of every ingress and of ops'),
  })
  return {
    onUnusable: ({ code }) => {
      logger.fatal({ fault: code }, 'REDIS_URL: Redis refuses the number of the database, ending')
      effects.end()
    },
    onUnreadable: (jobId, reason) =>
      logger.error({ jobId, reason }, 'job of an unknown shape, left for a newer worker'),
    onUndecryptable: (jobId, bodies) => {
      const metrics = effects.metrics()
      for (const { keyId, isKeyHere } of bodies)
        metrics.deferred.inc({ reason: isKeyHere ? 'not_decryptable' : 'key_missing', key_id: keyId })
      const keyIds = [...new Set(bodies.map(({ keyId }) => keyId))]
      const eventIds = bodies.slice(0, MAX_NAMED).map(({ eventId }) => eventId)
      const fields = { jobId, deliveries: bodies.length, eventIds, keyIds }
      logger.error(
        { ...fields, reason: bodies.some(({ isKeyHere }) => isKeyHere) ? 'not_decryptable' : 'key_missing' },
        'bodies in the queue do not decrypt, put back for 30 s, no attempt used up: check QUEUE_ENCRYPTION_KEYS',
      )
    },
    onUnencrypted: (deliveries) => {
      effects.metrics().unencrypted.inc(deliveries)
      unencrypted.note('jobs')
    },
    onError: (error) => {
      logger.debug({ err: error }, 'trouble with the queue')
      const { code, type } = describeError(error)
      trouble.note(code ?? type)
    },
  }
}

/** After a restart of the database not all workers have its new identity at once. */
const FINDINGS = 3

/**
 * Makes the work that tells the queue which database its workers store in, and warns where workers of another database
 * take from it too: then each stores a part of the other's events. To be repeated every few seconds.
 */
export function announceDatabase(options: {
  readonly consumer: Pick<Consumer, 'announce'>
  readonly readIdentity: () => Promise<string>
  readonly logger: Logger
}): () => Promise<void> {
  let findings = 0
  const shared = new RepeatedLine<'queue'>({
    everyMs: 60_000,
    write: () =>
      options.logger.error(
        'workers of another database take from this queue, give each installation its own: check REDIS_URL and DATABASE_URL',
      ),
  })
  return async () => {
    const installations = await options.consumer.announce(await options.readIdentity())
    findings = installations.length > 1 ? findings + 1 : 0
    if (findings >= FINDINGS) shared.note('queue')
  }
}
