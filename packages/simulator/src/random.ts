/** Letters and digits of the provider's ids, without the look-alikes. */
const ID_LETTERS = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** Spreads a text over 32 bits; `salt` gives independent values (MurmurHash3's mixing). */
function hash(text: string, salt: number): number {
  let state = (1_779_033_703 ^ text.length ^ salt) >>> 0
  for (let index = 0; index < text.length; index += 1) {
    state = Math.imul(state ^ text.charCodeAt(index), 3_432_918_353)
    state = (state << 13) | (state >>> 19)
  }
  state = Math.imul(state ^ (state >>> 16), 2_246_822_507)
  state = Math.imul(state ^ (state >>> 13), 3_266_489_909)
  return (state ^ (state >>> 16)) >>> 0
}

/** Random numbers that depend on the seed alone (sfc32): the same seed gives the same numbers, on every machine. */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter: number

  constructor(seed: string) {
    this.#a = hash(seed, 0x9e37)
    this.#b = hash(seed, 0x79b9)
    this.#c = hash(seed, 0x7f4a)
    this.#counter = hash(seed, 0x7c15)
    for (let round = 0; round < 12; round += 1) this.fraction()
  }

  /** From 0 up to, but not including, 1. */
  fraction(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    return (sum >>> 0) / 4_294_967_296
  }

  /** A whole number, both ends included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.fraction() * (max - min + 1))
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  pick<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.integer(0, choices.length - 1)] ?? choices[0]
  }

  /** An id such as `inq_` with 28 letters, as the provider makes them now. */
  id(prefix: string): string {
    let tail = ''
    while (tail.length < 28) tail += ID_LETTERS[this.integer(0, ID_LETTERS.length - 1)]
    return `${prefix}_${tail}`
  }
}
