import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { Producer } from '@persona-ingest/queue'
import type { Logger } from '@persona-ingest/runtime'
import { watchDurability } from '../durability.ts'
import type { IngressEnv } from '../env.ts'

type StartWarningOptions = {
  readonly env: IngressEnv
  readonly logger: Logger
  readonly producer: Pick<Producer, 'durability'>
}

/** Says at start what works but may not be safe where this process runs. */
async function startWarnings(app: FastifyInstance, options: StartWarningOptions): Promise<void> {
  const { env, logger, producer } = options
  if (typeof env.TRUST_PROXY === 'number' && env.TRUST_PROXY > 0) {
    logger.warn('TRUST_PROXY counts hops: safe only where nothing but the proxies can reach this port')
  }
  const stopWatching = watchDurability({ producer, logger })
  app.addHook('onClose', async () => stopWatching())
}

export default fastifyPlugin(startWarnings, { name: 'start-warnings', fastify: '5.x' })
