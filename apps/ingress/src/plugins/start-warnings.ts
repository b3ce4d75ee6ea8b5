import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { Producer } from '@persona-ingest/queue'
import type { Logger } from '@persona-ingest/service'
import { watchDurability } from '../durability.ts'
import type { IngressEnv } from '../env.ts'

type StartWarningOptions = {
  readonly env: IngressEnv
  readonly logger: Logger
  readonly producer: Pick<Producer, 'durability'>
}

/** Why the source address may be forged, in the words of the log; null where it can't be. */
function forgeryWarning(trustProxy: IngressEnv['TRUST_PROXY']): string | null {
  if (trustProxy === true) {
    return 'TRUST_PROXY=true takes the leftmost forwarded address, which any client can write: give the addresses of the proxies'
  }
  if (typeof trustProxy === 'number' && trustProxy > 0) {
    return 'TRUST_PROXY counts hops: safe only where nothing but the proxies can reach this port'
  }
  const isEverything = Array.isArray(trustProxy) && trustProxy.some((entry) => entry.endsWith('/0'))
  return isEverything ? 'TRUST_PROXY holds a range of all addresses: any client can write the source address' : null
}

/** Secrets that are not in the form of the provider's, such as an API key or a secret in Base64: by name. */
function oddSecretLists(env: IngressEnv): readonly string[] {
  const names = ['PERSONA_WEBHOOK_SECRETS', 'PERSONA_SANDBOX_WEBHOOK_SECRETS'] as const
  return names.filter((name) => env[name].some((secret) => !secret.startsWith('wbhsec_')))
}

/** Says at start what works but may not be safe where this process runs. */
async function startWarnings(app: FastifyInstance, options: StartWarningOptions): Promise<void> {
  const { env, logger, producer } = options
  const forgery = forgeryWarning(env.TRUST_PROXY)
  if (forgery !== null) logger.warn(forgery)
  const variables = oddSecretLists(env)
  if (variables.length > 0)
    logger.warn({ variables }, 'a secret does not begin with wbhsec_ as the secrets of Persona do')
  const stopWatching = watchDurability({ producer, logger })
  app.addHook('onClose', async () => stopWatching())
}

export default fastifyPlugin(startWarnings, { name: 'start-warnings', fastify: '5.x' })
