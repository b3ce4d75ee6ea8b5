import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { freePort } from './free-port.ts'
import { ProxyLane, type LaneRule } from './proxy-lane.ts'

type Mode = 'pass' | 'silent' | 'mute' | 'refuse' | 'reset'

/**
 * A TCP proxy on the loopback address that fails on command.
 *
 * Each command holds until the next; `pass` ends every fault, and what `silent` or `mute` held back goes on its way.
 */
export interface HalfOpenProxy {
  readonly port: number
  /** Connections from clients that are open now. */
  readonly connections: number
  /** Forwards everything, as it does at first. */
  pass(): Promise<void>
  /** Accepts connections and takes what comes, but passes nothing on in either direction, ends neither. */
  silent(): Promise<void>
  /** Passes requests on and holds every answer back: what was asked happens, and the client does not learn it. */
  mute(): Promise<void>
  /** Ends open connections and listens no more: clients get ECONNREFUSED. */
  refuse(): Promise<void>
  /** Ends open and new connections with a reset (RST): clients get ECONNRESET. */
  reset(): Promise<void>
  /** Forwards, but holds each piece of an answer for so many milliseconds. */
  delay(answerDelayMs: number): Promise<void>
  /** Ends open connections and leads new ones to another port, as an address does that moves in a fail-over. */
  leadTo(targetPort: number): void
  /** Ends everything. */
  close(): Promise<void>
}

type Pair = {
  readonly client: Socket
  readonly target: Socket
  readonly requests: ProxyLane
  readonly answers: ProxyLane
}

/** Starts a proxy in front of a server on the loopback address. Close it before the test ends (`t.teardown`). */
export async function halfOpenProxy(options: { readonly targetPort: number }): Promise<HalfOpenProxy> {
  const proxy = new FaultProxy(options.targetPort)
  await proxy.listen()
  return proxy
}

class FaultProxy implements HalfOpenProxy {
  #targetPort: number
  readonly #pairs = new Set<Pair>()
  readonly #server: Server
  #port = 0
  #mode: Mode = 'pass'
  #answerDelayMs = 0

  constructor(targetPort: number) {
    this.#targetPort = targetPort
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client))
  }

  get port(): number {
    return this.#port
  }

  get connections(): number {
    return [...this.#pairs].filter(({ client }) => !client.destroyed).length
  }

  async listen(): Promise<void> {
    if (this.#server.listening) return
    this.#server.listen({ port: this.#port === 0 ? await freePort() : this.#port, host: '127.0.0.1' })
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  pass = () => this.#change('pass')
  silent = () => this.#change('silent')
  mute = () => this.#change('mute')
  refuse = () => this.#change('refuse')
  reset = () => this.#change('reset')
  delay = (answerDelayMs: number) => this.#change('pass', answerDelayMs)
  close = () => this.#change('refuse')

  leadTo(targetPort: number): void {
    this.#targetPort = targetPort
    this.#endPairs()
  }

  async #change(mode: Mode, answerDelayMs = 0): Promise<void> {
    this.#mode = mode
    this.#answerDelayMs = answerDelayMs
    if (mode === 'refuse' || mode === 'reset') this.#endPairs()
    for (const pair of this.#pairs) this.#applyTo(pair)
    if (mode !== 'refuse') return this.listen()
    this.#server.close()
    // It listens no more when this pass of the event loop is over; its last connection may take for ever to be gone.
    await new Promise((resolve) => setImmediate(resolve))
  }

  #accept(client: Socket): void {
    client.on('error', () => {})
    if (this.#mode === 'reset') return void client.resetAndDestroy()
    const target = connect({ port: this.#targetPort, host: '127.0.0.1', allowHalfOpen: true })
    const pair = {
      client,
      target,
      requests: new ProxyLane(client, target, this.#requestRule()),
      answers: new ProxyLane(target, client, this.#answerRule()),
    }
    this.#pairs.add(pair)
    // A side that is gone is news too, and news waits like everything else: in silence the other side learns nothing.
    client.on('close', (hadError) => pair.requests.close(hadError))
    target.on('error', () => pair.answers.close(true))
    const forget = () => client.destroyed && target.destroyed && this.#pairs.delete(pair)
    client.on('close', forget)
    target.on('close', forget)
  }

  #applyTo(pair: Pair): void {
    pair.requests.rule = this.#requestRule()
    pair.answers.rule = this.#answerRule()
  }

  #requestRule(): LaneRule {
    return { isOpen: this.#mode !== 'silent', delayMs: 0 }
  }

  #answerRule(): LaneRule {
    return { isOpen: this.#mode === 'pass', delayMs: this.#answerDelayMs }
  }

  #endPairs(): void {
    for (const { client, target } of this.#pairs) {
      // Node.js never closes a socket that is reset after it was ended.
      if (client.writableEnded) client.destroy()
      else client.resetAndDestroy()
      target.destroy()
    }
  }
}
