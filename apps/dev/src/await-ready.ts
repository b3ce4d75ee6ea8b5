import { setTimeout as wait } from 'node:timers/promises'
import type { Session } from './session.ts'

const everyMs = 100
const sayEveryMs = 10_000

/** Waits until an address answers 200, for as long as it takes, and says now and then what it answers instead. */
export async function awaitReady(name: string, url: string, session: Session): Promise<void> {
  let saidAtMs = performance.now()
  for (;;) {
    const answer = await readiness(url, session.signal)
    session.signal.throwIfAborted()
    if (answer === null) return
    if (performance.now() - saidAtMs >= sayEveryMs) {
      session.say(`Still waiting for the ${name}: ${answer}`)
      saidAtMs = performance.now()
    }
    await wait(everyMs)
  }
}

/** Null when ready, else what was answered. */
async function readiness(url: string, signal: AbortSignal): Promise<string | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(2000)]) })
    const text = await response.text()
    return response.status === 200 ? null : `${response.status} ${text}`
  } catch {
    return 'it does not listen yet'
  }
}
