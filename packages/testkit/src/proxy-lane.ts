import type { Socket } from 'node:net'

/** Whether bytes move in one direction, and how long each piece waits first, in milliseconds. */
export type LaneRule = { readonly isOpen: boolean; readonly delayMs: number }

/** A piece of what one side sent; its end and its failure are pieces too, so that nothing overtakes anything. */
type Piece = { readonly dueAtMs: number; readonly deliver: (to: Socket) => void }

/** One direction of one proxied connection. It takes all that comes and hands it on as its rule says. */
export class ProxyLane {
  readonly #to: Socket
  readonly #held: Piece[] = []
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
    this.#handOn()
  }

  /** Tells the receiving side, after all that was taken before, that the sending one is gone: by a reset if it failed. */
  close(hasFailed: boolean): void {
    this.#take((to) => void (hasFailed ? to.resetAndDestroy() : to.end()))
  }

  #take(deliver: (to: Socket) => void): void {
    this.#held.push({ dueAtMs: performance.now() + this.#rule.delayMs, deliver })
    this.#handOn()
  }

  #handOn(): void {
    clearTimeout(this.#timer)
    while (this.#rule.isOpen && !this.#to.destroyed) {
      const piece = this.#held[0]
      if (piece === undefined) return
      const waitMs = Math.ceil(piece.dueAtMs - performance.now())
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#handOn(), waitMs)
        return
      }
      this.#held.shift()
      piece.deliver(this.#to)
    }
  }
}
