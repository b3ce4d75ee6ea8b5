import { createProducer, type Producer } from '@persona-ingest/queue'
import { describeError, RepeatedLine, type Logger } from '@persona-ingest/service'
import type { IngressEnv } from './env.ts'

/** For questions to Redis. The deadline of an enqueue is that of its acknowledgement. */
const QUESTION_DEADLINE_MS = 2000
const TROUBLE_EVERY_MS = 10_000

/**
 * Opens the queue for enqueues. Redis may be away: it says so, at most every 10 s per kind of trouble, and goes on.
 * `end` ends the process where Redis answers and refuses what REDIS_URL selects.
 */
export function openProducer(
  env: Pick<IngressEnv, 'REDIS_URL' | 'QUEUE_ENCRYPTION_KEYS'> & { isTraced: boolean },
  logger: Logger,
  end: () => void,
): Producer {
  const trouble = new RepeatedLine<string>({
    everyMs: TROUBLE_EVERY_MS,
    write: (fault, count) => logger.warn({ fault, count }, 'Redis connection in trouble, trying again'),
  })
  return createProducer({
    redisUrl: env.REDIS_URL,
    deadlineMs: QUESTION_DEADLINE_MS,
    encryptionKeys: env.QUEUE_ENCRYPTION_KEYS,
    isTraced: env.isTraced,
    onUnusable: ({ code }) => {
      logger.fatal({ fault: code }, 'REDIS_URL: Redis refuses the number of the database, ending')
      end()
    },
    onError: (error) => trouble.note(describeError(error).code ?? 'CONNECTION_LOST'),
  })
}
