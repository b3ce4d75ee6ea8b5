import type { Producer } from '@persona-ingest/queue'
import type { Logger } from '@persona-ingest/service'

const RETRY_MS = 5000

/** What Redis must say so that nothing acknowledged is lost. */
const EXPECTED = { appendonly: 'yes', appendfsync: 'always', maxmemoryPolicy: 'noeviction' } as const

type Watched = {
  readonly producer: Pick<Producer, 'durability'>
  readonly logger: Logger
  /** Pause before asking again after an outage; default 5000. */
  readonly retryMs?: number
}

async function checkDurability({ producer, logger }: Watched): Promise<void> {
  const found = await producer.durability()
  if (found === null) {
    logger.warn(EXPECTED, 'Redis does not tell its durability settings: make sure that they are these')
    return
  }
  const wrong = Object.entries(EXPECTED).filter(([name, value]) => found[name as keyof typeof EXPECTED] !== value)
  if (wrong.length === 0) return
  const expected = Object.fromEntries(wrong)
  logger.warn({ found, expected }, 'Redis may lose what it confirmed: set it to what is expected')
}

/**
 * Warns where Redis could lose events that we have acknowledged. Asks until Redis has answered once; an outage at start
 * is no answer. Returns what stops the asking.
 */
export function watchDurability(watched: Watched): () => void {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  const ask = () => {
    checkDurability(watched).catch(() => {
      if (!isStopped) timer = setTimeout(ask, watched.retryMs ?? RETRY_MS).unref()
    })
  }
  ask()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}
