import getPort from 'get-port'
import type { Say } from './session.ts'

const triesBeforeAny = 100

export type PortRequest = {
  /** The use of the port, for the message. */
  readonly name: string
  readonly wanted: number
  /** Ports that are chosen already and not used yet. */
  readonly spokenFor?: readonly number[]
}

/**
 * Gives the wanted port, or the next one that is free on every address of this machine, and says so. After 100 ports, or
 * for 0, any free port.
 */
export async function choosePort(request: PortRequest, say: Say): Promise<number> {
  const { name, wanted, spokenFor = [] } = request
  if (wanted === 0) return await getPort()
  const candidates = Array.from({ length: Math.min(triesBeforeAny, 65_536 - wanted) }, (_, index) => wanted + index)
  const free = await getPort({ port: candidates, exclude: spokenFor })
  if (free !== wanted) say(`Port ${wanted} is taken: ${name} gets ${free}.`)
  return free
}
