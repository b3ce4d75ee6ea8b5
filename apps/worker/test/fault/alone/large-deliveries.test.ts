import { Deadline } from '@persona-ingest/core'
import { readFileSync } from 'node:fs'
import { createProducer, type Delivery } from '@persona-ingest/queue'
import { rebuild } from '@persona-ingest/database'
import { eventually, throwAwayDatabase, throwAwayRedis } from '@persona-ingest/testkit'
import t, { type Test } from 'tap'
import { aWorkerProcess } from '../../fixtures/a-worker-process.ts'
import { aDelivery } from '../../fixtures/an-event.ts'
import { readMetrics } from '../../fixtures/metrics-text.ts'

const HEAP_MB = 256
/** As docs/failure-modes.md says. */
const PROCESS_MB = 600

const mixed = (index: number, size: number): Delivery =>
  aDelivery({
    id: `evt_${index}`,
    inquiryId: `inq_${index}`,
    // Characters beyond Latin-1 take two bytes each in the heap.
    attributes: { note: 'xü€'.repeat(size / 12), answers: Array.from({ length: size / 40 }, (_, at) => ({ at, is: 'so' })) }, // prettier-ignore
  })
const wide = (index: number): Delivery =>
  aDelivery({
    id: `evt_${index}`,
    inquiryId: `inq_${index}`,
    included: Array.from({ length: 24_000 }, (_, at) => ({
      type: 'report/x',
      id: `rep_${index}_${at}`,
      attributes: { n: 1 },
    })),
  })

/** The largest resident memory of a process so far, in MB. */
function peakMemoryMb(pid: number): number {
  return Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1000
}

/** Lets a worker with a small heap take what waits; gives what it said of its bytes meanwhile. */
async function processAll(t: Test, all: readonly (() => Delivery)[]): Promise<void> {
  const redis = await throwAwayRedis(t)
  const { url, sql } = await throwAwayDatabase(t)
  const producer = createProducer({ redisUrl: redis.url, encryptionKeys: [], deadlineMs: 20_000 })
  t.teardown(() => producer.close())
  for (const make of all) await producer.enqueue(make(), new Deadline(5000))
  const worker = await aWorkerProcess(
    t,
    { REDIS_URL: redis.url, DATABASE_URL: url, LOG_LEVEL: 'info' },
    { nodeFlags: [`--max-old-space-size=${HEAP_MB}`] },
  )
  const largest = { held: 0, read: 0 }
  const limits = { held: 0, read: 0 }
  await eventually(
    async () => {
      const { samples } = readMetrics((await worker.get('/metrics')).text)
      for (const { name, labels, value } of samples) {
        const kind = labels['kind'] as 'held' | 'read'
        if (name === 'persona_worker_in_flight_bytes') largest[kind] = Math.max(largest[kind], value)
        if (name === 'persona_worker_in_flight_bytes_limit') limits[kind] = value
      }
      const [row] = await sql('SELECT count(*)::int AS count FROM events')
      return row?.['count'] === all.length
    },
    { deadlineMs: 250_000, everyMs: 100 },
  )
  const peakMb = peakMemoryMb(worker.pid)
  t.ok(peakMb < PROCESS_MB, `${peakMb} MB`)
  t.comment(`at most ${peakMb} MB, ${JSON.stringify(largest)} of ${JSON.stringify(limits)} bytes`)
  for (const kind of ['held', 'read'] as const) {
    t.ok(largest[kind] > 0 && limits[kind] > 0, `${kind} bytes are told`)
    t.ok(largest[kind] <= limits[kind], `${kind}: ${largest[kind]} of ${limits[kind]}`)
  }
  t.equal(worker.count('database takes no writes, holding deliveries until it does'), 0, 'size is no outage')
  t.equal(worker.count('event put back, no attempt used up'), 0)
  t.equal((await sql('SELECT count(*)::int AS count FROM dead_letters'))[0]?.['count'], 0)
  worker.signal('SIGTERM')
  t.strictSame(await worker.exit, { code: 0, signal: null })
  const differences: unknown[] = []
  const onDifference = (difference: unknown) => void differences.push(difference)
  await rebuild({ databaseUrl: url, encryptionKeys: [], isVerifying: true, onDifference })
  t.strictSame(differences, [])
}

t.test('deliveries of 150 KB, more than fit into the heap, are stored', { timeout: 280_000 }, async (t) => {
  await processAll(t, Array.from({ length: 200 }, (_, index) => () => mixed(index, 150_000))) // prettier-ignore
})

t.test('deliveries of 700 KB, more than fit into the heap, are stored', { timeout: 280_000 }, async (t) => {
  await processAll(t, Array.from({ length: 50 }, (_, index) => () => mixed(index, 700_000))) // prettier-ignore
})

t.test('events of 24,000 objects each are stored, one after the other', { timeout: 280_000 }, async (t) => {
  await processAll(t, Array.from({ length: 3 }, (_, index) => () => wide(index))) // prettier-ignore
})
