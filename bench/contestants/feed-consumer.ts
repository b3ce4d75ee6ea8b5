/*
 * A consumer of the change feed, as an application has one. It commits each batch, and tells its figures when it has read
 * COUNT changes, or at the message `end`.
 */
import { getHeapStatistics } from 'node:v8'
import { openReader, type ChangeBatch } from '@persona-ingest/reader'

const url = process.env['DATABASE_URL'] ?? ''
const count = Number(process.env['COUNT'] ?? Infinity)
const reader = openReader({ url })
const ending = new AbortController()
process.once('message', () => ending.abort())

export type ConsumerFigures = {
  readonly changes: number
  readonly batches: number
  readonly seconds: number
  /** The most that one batch has. */
  readonly largestBatch: number
  readonly peakHeapMb: number
  readonly peakMemoryMb: number
  /** From each change's own time, which is before its commit, in ms. */
  readonly delaysMs: readonly number[]
}

let changes = 0
let batches = 0
let largestBatch = 0
let peakHeap = 0
let peakMemory = 0
const delaysMs: number[] = []

function measure(batch: ChangeBatch): void {
  changes += batch.changes.length
  batches += 1
  largestBatch = Math.max(largestBatch, batch.changes.length)
  peakHeap = Math.max(peakHeap, getHeapStatistics().used_heap_size)
  peakMemory = Math.max(peakMemory, process.memoryUsage.rss())
  const nowMs = Date.now()
  // A backlog has no delay of interest.
  if (count === Infinity) delaysMs.push(...batch.changes.map(({ changedAt }) => nowMs - changedAt.getTime()))
}

const from = process.env['FROM'] === 'now' ? 'now' : 'start'
let startedAtMs = performance.now()
process.send?.('ready')
for await (const batch of reader.changes({ consumer: 'bench', from, signal: ending.signal })) {
  if (batches === 0) startedAtMs = performance.now()
  measure(batch)
  await batch.commit()
  if (changes >= count) break
}
const mb = (bytes: number): number => Math.round(bytes / 2 ** 20)
const figures: ConsumerFigures = {
  changes,
  batches,
  seconds: (performance.now() - startedAtMs) / 1000,
  largestBatch,
  peakHeapMb: mb(peakHeap),
  peakMemoryMb: mb(peakMemory),
  delaysMs,
}
process.send?.(figures)
await reader.close()
process.disconnect?.()
