import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/*
 * Below the range from which the system takes ports for outgoing connections (Linux from 32768, macOS from 49152).
 * Inside that range a client that keeps trying to reach a server which is down can be given that very port as its
 * own, connects to itself, and the server can't come back.
 */
const lowestPort = 20_000
const highestPort = 32_000

/** Tells whether a TCP port can be listened on, on the loopback address unless another host is given. */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)))
  })
}

/** Finds a TCP port on which nothing listens at this moment, outside the range of outgoing connections. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(lowestPort, highestPort)
    if (await isPortFree(port)) return port
  }
  throw new Error(`no free TCP port found between ${lowestPort} and ${highestPort} in 100 attempts`)
}
