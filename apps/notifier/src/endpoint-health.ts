/** Failures in a row after which the endpoint counts as dead. */
const DEAD_AFTER = 50
/** Objects that are tried a second while it is dead: enough to see soon that it answers again. */
const TRIED_WHILE_DEAD = 10

/**
 * Counts failed requests in a row. While the endpoint is dead, few objects are tried: a request costs about as much
 * processor time as storing an event, which ingestion on the same machine needs.
 */
export class EndpointHealth {
  #failuresInRow = 0

  noteSent(): void {
    this.#failuresInRow = 0
  }

  noteFailed(): void {
    this.#failuresInRow += 1
  }

  get isDead(): boolean {
    return this.#failuresInRow >= DEAD_AFTER
  }

  /** How many of the objects for which there is room may be tried in this second. */
  limit(room: number): number {
    return this.isDead ? Math.min(room, TRIED_WHILE_DEAD) : room
  }
}
