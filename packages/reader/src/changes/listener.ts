import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from 'pg'
import type { Connections } from '../connections/connections.ts'

/** Finds what a lost connection missed. */
const POLL_MS = 5_000
/** Without notifications. */
const FAST_POLL_MS = 500
const PROBE_TIMEOUT_MS = 2_000
/** After a connection that was lost, and after a pooler that passes no notifications on. */
const RECONNECT_MS = 500
const PROBE_AGAIN_MS = 60_000

export type ListenerOptions = { readonly connections: Connections; readonly signal: AbortSignal }

/** How a wait ended. `polled`: the time was over, though notifications should come. */
export type Waking = 'notified' | 'polled' | 'unknown'

/**
 * Wakes a reader when a tick is announced, else from time to time.
 *
 * It has a connection of its own. A pooler of transactions takes LISTEN and passes nothing on, so a notification of its own
 * is sent over another connection first. Without notifications it polls more often, and tries again.
 */
export class Listener {
  readonly #options: ListenerOptions
  #client: Client | null = null
  #isListening = false
  #isWoken = true
  #wakeUp: (waking: Waking) => void = () => undefined

  constructor(options: ListenerOptions) {
    this.#options = options
    options.signal.addEventListener('abort', () => this.#stop(), { once: true })
    void this.#run()
  }

  /** Resolves at the next tick, when it is time to poll, or with the signal. */
  async next(): Promise<Waking> {
    if (this.#isWoken || this.#options.signal.aborted) {
      this.#isWoken = false
      return 'unknown'
    }
    let timer: NodeJS.Timeout | undefined
    const waking = await new Promise<Waking>((resolve) => {
      this.#wakeUp = resolve
      const isListening = this.#isListening
      timer = setTimeout(() => resolve(isListening ? 'polled' : 'unknown'), isListening ? POLL_MS : FAST_POLL_MS)
    })
    clearTimeout(timer)
    this.#isWoken = false
    return waking
  }

  /** Opens the connection anew: a poll found a tick of which it told nothing. */
  renew(): void {
    this.#client?.end().catch(() => undefined)
  }

  #wake(): void {
    this.#isWoken = true
    this.#wakeUp('notified')
  }

  #stop(): void {
    this.renew()
    this.#wake()
  }

  async #run(): Promise<void> {
    const { signal } = this.#options
    while (!signal.aborted) {
      const pauseMs = await this.#listen().catch(() => RECONNECT_MS)
      await pause(pauseMs, null, { signal }).catch(() => undefined)
    }
  }

  /** Listens until the connection ends. Gives the time until the next attempt in milliseconds. */
  async #listen(): Promise<number> {
    const { connections, signal } = this.#options
    const client = await connections.openClient(signal)
    this.#client = client
    const ended = new Promise<'ended'>((resolve) => void client.once('end', () => resolve('ended')))
    try {
      const probed = await Promise.race([this.#isNotified(client), ended])
      if (probed === false) return PROBE_AGAIN_MS
      await client.query('LISTEN persona_changes')
      client.on('notification', ({ channel }) => {
        if (channel === 'persona_changes') this.#wake()
      })
      this.#isListening = true
      // What was announced before is found by a read.
      this.#wake()
      await ended
      return RECONNECT_MS
    } finally {
      this.#isListening = false
      this.#client = null
      client.end().catch(() => undefined)
      this.#wake()
    }
  }

  /** Whether a notification of another session arrives. The channel is random: a pooler's session may keep it. */
  async #isNotified(client: Client): Promise<boolean> {
    const { connections, signal } = this.#options
    const channel = `persona_probe_${randomBytes(8).toString('hex')}`
    await client.query(`LISTEN ${channel}`)
    const notified = new Promise<boolean>((resolve) => void client.once('notification', () => resolve(true)))
    await connections.query(`SELECT pg_notify($1, '')`, [channel], signal)
    const isNotified = await Promise.race([notified, pause(PROBE_TIMEOUT_MS, false, { signal, ref: false })])
    if (isNotified) await client.query(`UNLISTEN ${channel}`)
    return isNotified
  }
}
