import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'

const LOOK_EVERY_MS = 5000
/** What may have gathered since the last collection. */
const GATHERED_BYTES = 64 * 1024 * 1024
/** A collection stops the process for some 50 ms, so that it waits for less work than this share of the time. */
const QUIET = 0.5

/** V8 has no public call for a collection: the flag makes a `gc` in contexts that are made after it. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  return collect
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/**
 * Gives memory back after a burst. V8 collects when something is allocated: after a flood of bodies that ended, an
 * ingress kept 200 MB of garbage for as long as its usual traffic was low.
 */
async function memoryRelease(app: FastifyInstance): Promise<void> {
  const collect = collector()
  let afterLastBytes = usedBytes()
  let utilization = performance.eventLoopUtilization()
  const timer = setInterval(() => {
    const before = utilization
    utilization = performance.eventLoopUtilization()
    const isQuiet = performance.eventLoopUtilization(utilization, before).utilization < QUIET
    if (!isQuiet || usedBytes() - afterLastBytes < GATHERED_BYTES) return
    collect()
    afterLastBytes = usedBytes()
  }, LOOK_EVERY_MS).unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

export default fastifyPlugin(memoryRelease, { name: 'memory-release', fastify: '5.x' })
