import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import getPort from 'get-port'

/*
 * The range is below the ports that the system gives to outgoing connections (Linux from 32768, macOS from 49152). In
 * that range, a client that retries a stopped server can get the server's port, connect to itself and block the restart.
 */
const lowestPort = 20_000
const highestPort = 32_000

/** In random order: many test processes start at once, and each would try the lowest port first. */
function* candidates(): Generator<number> {
  for (let attempt = 0; attempt < 100; attempt++) yield randomInt(lowestPort, highestPort)
}

/** Tells whether a server can listen on a TCP port of `host` (default 127.0.0.1). */
export function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(true)))
  })
}

/** Returns a free TCP port of the loopback address, 20,000 to 31,999; a process gets no port twice within 15 s. */
export async function freePort(): Promise<number> {
  return getPort({ port: candidates(), host: '127.0.0.1' })
}
