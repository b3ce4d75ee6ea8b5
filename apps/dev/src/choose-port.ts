import { freePort, isPortFree } from '@persona-ingest/testkit'
import type { Say } from './say.ts'

/** Every host: a port on which something listens at one address only is taken for us as well. */
const anyHost = '0.0.0.0'
const triesBeforeAny = 100

export type PortRequest = {
  /** Whose port it is, for the message. */
  readonly name: string
  readonly wanted: number
  readonly spokenFor?: readonly number[]
}

/** Gives the wanted port, or, saying so, the next one that is free and not `spokenFor`; 0 wants any. */
export async function choosePort(request: PortRequest, say: Say): Promise<number> {
  const { name, wanted, spokenFor = [] } = request
  if (wanted === 0) return freePort()
  const free = await nextFreePort(wanted, spokenFor)
  if (free !== wanted) say(`Port ${wanted} is taken: ${name} gets ${free}.`)
  return free
}

async function nextFreePort(from: number, spokenFor: readonly number[]): Promise<number> {
  for (let port = from; port < Math.min(from + triesBeforeAny, 65_536); port++) {
    if (!spokenFor.includes(port) && (await isPortFree(port, anyHost))) return port
  }
  return freePort()
}
