/* Sends every change of an inquiry to an address, at least once and in order. */
import { setTimeout as pause } from 'node:timers/promises'
import { openReader, type Change } from '@persona-ingest/reader'

const PAUSE_MS = 1_000
const TIMEOUT_MS = 5_000

async function isTaken(url: string, change: Change): Promise<boolean> {
  const { objectId: id, version, status } = change
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      // The receiver drops what is not above the version that it has. A version is a bigint, which JSON lacks.
      body: JSON.stringify({ id, version: String(version), status }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    await answer.arrayBuffer()
    return answer.ok
  } catch {
    return false
  }
}

/** Repeats until the receiver has taken the change, or the program ends. */
async function send(url: string, change: Change, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !(await isTaken(url, change)))
    await pause(PAUSE_MS, null, { signal }).catch(() => undefined)
}

const { DATABASE_URL, TARGET_URL } = process.env
if (!DATABASE_URL || !TARGET_URL) {
  console.error('Usage: DATABASE_URL=postgresql://... TARGET_URL=https://... post-changes')
  process.exit(2)
}
const ending = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort())
const reader = openReader({ url: DATABASE_URL, onOutage: ({ message }) => console.error(`waiting: ${message}`) })
try {
  for await (const batch of reader.changes({ consumer: 'post', signal: ending.signal })) {
    for (const change of batch.changes.filter(({ family }) => family === 'inquiry'))
      await send(TARGET_URL, change, ending.signal)
    // A program that ends within a batch sends it again.
    if (!ending.signal.aborted) await batch.commit()
  }
} finally {
  await reader.close()
}
