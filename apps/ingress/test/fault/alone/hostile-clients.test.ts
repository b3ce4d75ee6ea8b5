import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { eventually, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { MAX_CONNECTIONS } from '../../../src/http/connection-limits.ts'
import { anEventBody, PRODUCTION_SECRET, signed } from '../../fixtures/a-delivery.ts'
import { aHostileClient, type HostileManner, type HostileResult } from '../../fixtures/a-hostile-client.ts'
import { aLoad } from '../../fixtures/a-load.ts'
import { anIngressProcess } from '../../fixtures/an-ingress-process.ts'

/** The limit of an answer, as the client sees it. @see docs/contract.md#2-http-the-ingress */
const LIMIT_MS = 4000

const redis = await throwAwayRedis(t)
const env = { REDIS_URL: redis.url, LOG_LEVEL: 'info' }
const [ingress, load, hostile] = await Promise.all([anIngressProcess(t, env), aLoad(t), aHostileClient(t)])
const usual = { port: ingress.port, secret: PRODUCTION_SECRET, bodyBytes: 3000 }
// A process that has answered nothing yet is several times slower.
const warmUp = await load.begin({ ...usual, connections: 20, seconds: 1.5 })
await warmUp.result

async function memoryMb(): Promise<number> {
  const status = await readFile(`/proc/${ingress.spawned.pid}/status`, 'utf8').catch(() => '')
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
}

/** Over a connection of its own. */
async function isAccepted(extra: Record<string, unknown> = {}): Promise<boolean> {
  const body = anEventBody({ extra })
  const headers = { ...signed(body), connection: 'close' }
  return (await fetch(`${ingress.url}/webhooks/persona`, { method: 'POST', headers, body })).status === 200
}

/** Under what one hostile client does, every authentic delivery over a connection of its own is accepted, and in time. */
async function staysOpen(t: Test, plan: { manner: HostileManner; connections: number; seconds: number }) {
  const attack = await hostile.begin({ ...plan, port: ingress.port })
  const { result } = await load.begin({ ...usual, connections: 8, seconds: plan.seconds - 1 })
  const authentic = await result
  const memory = await memoryMb()
  const met = await attack.result
  t.comment(`authentic: ${JSON.stringify(authentic)}; hostile: ${JSON.stringify(met)}; ${memory} MB`)
  t.strictSame(Object.keys(authentic.statuses), ['200'], 'every authentic delivery is accepted')
  t.ok(authentic.worstMs < LIMIT_MS, `in time: ${authentic.worstMs} ms`)
  return met
}

/** `seconds`: how long the client goes on; default 5.5. An answer of 408 comes after 5 s. */
type Case = { connections: number; seconds?: number; ends?: (met: HostileResult) => boolean; fact: string }
const EVERY_KIND: Readonly<Partial<Record<HostileManner, Case>>> = {
  idle: {
    connections: 3000,
    seconds: 8,
    fact: 'silent connections are ended with 408',
    ends: (met) => met.statuses['408'] === 3000,
  },
  slowHeaders: {
    connections: 200,
    seconds: 8,
    fact: 'headers that drip are ended with 408',
    ends: (met) => met.statuses['408'] === 200,
  },
  slowBody: { connections: 200, fact: 'bodies that drip hold nobody up' },
  largeBody: {
    connections: 300,
    fact: 'large bodies that never end take no more memory than there is',
    ends: (met) => (met.statuses['503'] ?? 0) > 100,
  },
  manyHeaders: { connections: 50, fact: 'as many headers as are let in hold nobody up' },
  tooManyHeaders: {
    connections: 50,
    fact: 'more headers are refused with 431',
    ends: (met) => (met.statuses['431'] ?? 0) > 50,
  },
  eager: {
    connections: 500,
    fact: 'whoever is refused has to be accepted again for the next request',
    ends: (met) => met.connections > 1000,
  },
  unauthentic: {
    connections: 50,
    fact: 'requests ahead of their answers are cut',
    ends: (met) => met.connections > 100,
  },
  deaf: { connections: 50, fact: 'clients that never read are cut', ends: (met) => met.connections > 100 },
}
for (const [manner, { connections, seconds = 5.5, ends, fact }] of Object.entries(EVERY_KIND)) {
  t.test(`${manner}: ${fact}`, async (t) => {
    const met = await staysOpen(t, { manner: manner as HostileManner, connections, seconds })
    t.ok(ends?.(met) ?? true, fact)
  })
}

t.test('large bodies that drip make room for authentic deliveries of any size', async (t) => {
  // More than the budget takes. They end long before their request timeout would end them.
  const attack = await hostile.begin({ port: ingress.port, manner: 'largeBody', connections: 100, seconds: 8 })
  await pause(1500)
  // Larger than what the budget has left beside them.
  await eventually(async () => isAccepted({ note: 'x'.repeat(2_000_000) }), { deadlineMs: 4000 })
  const { result } = await load.begin({ ...usual, bodyBytes: 100_000, connections: 30, seconds: 1 })
  t.strictSame(Object.keys((await result).statuses), ['200'])
  t.equal((await attack.result).statuses['408'], undefined, 'none was ended by its timeout meanwhile')
})

for (const manner of ['idle', 'kept'] as const) {
  t.test(
    `more connections than the limit (${manner}): the oldest make room, and authentic deliveries are accepted`,
    async (t) => {
      const connections = MAX_CONNECTIONS + 500
      const attack = await hostile.begin({ port: ingress.port, manner, connections, seconds: 12, isStubborn: false })
      const beganAtMs = performance.now()
      // Well before the attack ends, and before a kept connection would be ended for being idle.
      await eventually(async () => isAccepted(), { deadlineMs: 10_000 })
      t.comment(`room after ${Math.round(performance.now() - beganAtMs)} ms, ${await memoryMb()} MB`)
      const { openAtEnd } = await attack.result
      t.ok(openAtEnd <= MAX_CONNECTIONS, `${openAtEnd} open`)
      await ingress.spawned.waitForLine((line) => line.includes('connections closed, too many are open'))
    },
  )
}
