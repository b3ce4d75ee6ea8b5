import { createHash } from 'node:crypto'
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64'
import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus'

/** Letters and digits of the provider's ids, without those that look alike. */
const ID_LETTERS = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** All 128 bits of the state depend on the seed: with 32 bits, the ids of 100,000 inquiries would repeat. */
function stateOf(seed: string): readonly number[] {
  const digest = createHash('sha256').update(seed).digest()
  return [0, 4, 8, 12].map((offset) => digest.readInt32LE(offset))
}

/** Random numbers that depend on the seed alone: equal seeds give equal numbers, on every machine. */
export class Random {
  readonly #generator: ReturnType<typeof xoroshiro128plusFromState>

  constructor(seed: string) {
    this.#generator = xoroshiro128plusFromState(stateOf(seed))
  }

  /** From 0 up to, but not including, 1. */
  fraction(): number {
    return uniformFloat64(this.#generator)
  }

  /** An integer, both ends included. */
  integer(min: number, max: number): number {
    return uniformInt(this.#generator, min, max)
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.integer(0, choices.length - 1)] ?? choices[0]
  }

  /** An id such as `inq_` with 28 letters, as the provider's ids. */
  id(prefix: string): string {
    let tail = ''
    while (tail.length < 28) tail += ID_LETTERS[this.integer(0, ID_LETTERS.length - 1)]
    return `${prefix}_${tail}`
  }
}
