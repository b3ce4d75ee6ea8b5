import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { freePort } from './free-port.ts'

/** Whether bytes move in one direction, and the delay of each piece in milliseconds. */
type LaneRule = { readonly isOpen: boolean; readonly delayMs: number }

/** Bytes, the end or the failure of one side. All are pieces of one queue, so that their order stays. */
type Piece = { readonly dueAtMs: number; readonly deliver: (to: Socket) => void }

/** One direction of one proxied connection. It takes all pieces and delivers them by its rule. */
class ProxyLane {
  readonly #to: Socket
  readonly #pieces: Piece[] = []
  #rule: LaneRule
  #timer: NodeJS.Timeout | undefined

  constructor(from: Socket, to: Socket, rule: LaneRule) {
    this.#to = to
    this.#rule = rule
    from.on('data', (bytes: Buffer) => this.#take((to) => void to.write(bytes)))
    from.on('end', () => this.#take((to) => void to.end()))
    to.on('close', () => clearTimeout(this.#timer))
  }

  set rule(rule: LaneRule) {
    this.#rule = rule
    this.#deliverDue()
  }

  /** Ends the receiving side after the earlier pieces, by a reset where the sending side failed. */
  close(hasFailed: boolean): void {
    this.#take((to) => void (hasFailed ? to.resetAndDestroy() : to.end()))
  }

  #take(deliver: (to: Socket) => void): void {
    this.#pieces.push({ dueAtMs: performance.now() + this.#rule.delayMs, deliver })
    this.#deliverDue()
  }

  #deliverDue(): void {
    clearTimeout(this.#timer)
    while (this.#rule.isOpen && !this.#to.destroyed) {
      const piece = this.#pieces[0]
      if (piece === undefined) return
      const waitMs = Math.ceil(piece.dueAtMs - performance.now())
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#deliverDue(), waitMs)
        return
      }
      this.#pieces.shift()
      piece.deliver(this.#to)
    }
  }
}

type Mode = 'pass' | 'silent' | 'mute' | 'refuse' | 'reset'

/**
 * A TCP proxy on the loopback address that fails on command. Each command holds until the next one. `pass` ends every
 * fault and delivers the pieces that `silent` or `mute` kept.
 */
export interface HalfOpenProxy {
  readonly port: number
  /** Open connections from clients. */
  readonly connections: number
  /** Forwards everything; the initial state. */
  pass(): Promise<void>
  /** Accepts connections and bytes, but forwards nothing in either direction. */
  silent(): Promise<void>
  /** Forwards requests and keeps the answers: the request takes effect, and the client gets no answer. */
  mute(): Promise<void>
  /** Ends open connections and stops listening: clients get ECONNREFUSED. */
  refuse(): Promise<void>
  /** Ends open and new connections with a reset (RST): clients get ECONNRESET. */
  reset(): Promise<void>
  /** Forwards, but delays each piece of an answer by so many milliseconds. */
  delay(answerDelayMs: number): Promise<void>
  /** Ends open connections and connects new ones to another port, as an address that moves in a fail-over. */
  leadTo(targetPort: number): void
  /** Ends all connections and stops listening. */
  close(): Promise<void>
}

type Pair = {
  readonly client: Socket
  readonly target: Socket
  readonly requests: ProxyLane
  readonly answers: ProxyLane
}

/** Starts a proxy in front of a server on the loopback address. The caller closes it in `t.teardown`. */
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
    // Listening stops within this pass of the event loop; `close` itself would wait for the last connection.
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
    // The end of a side is a piece too: while the proxy is silent, the other side must not notice it.
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
      // Node.js does not close a socket that is reset after its end.
      if (client.writableEnded) client.destroy()
      else client.resetAndDestroy()
      target.destroy()
    }
  }
}
