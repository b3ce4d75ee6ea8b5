/** A change as a reader gets it; numbers as texts. */
export type Change = {
  readonly seq: string
  readonly version: string
  readonly family: string
  readonly object_id: string
  readonly inquiry_id: string | null
  readonly event_id: string | null
  readonly status: string | null
}

/** What a reader keeps of an object. */
export type FoldedObject = Omit<Change, 'seq' | 'object_id'>

/** How the changes that a reader got differ from those that were announced. */
export type Verdict = {
  readonly read: number
  /** Announced, and never given. */
  readonly missed: number
  /** Given once more. */
  readonly twice: number
  /** Given after a later change of the same object. */
  readonly inverted: number
  /** Given right after a change that is not the one before it. */
  readonly skipping: number
}

/** What a reader makes of the changes, in the order in which it gets them. */
export class FeedFold {
  readonly objects = new Map<string, FoldedObject>()
  readonly #seen = new Set<string>()
  readonly #lastSeqs = new Map<string, string>()
  #twice = 0
  #inverted = 0
  #skipping = 0

  take(changes: readonly Change[]): void {
    for (const { seq, object_id: id, ...told } of changes) {
      if (this.#seen.has(seq)) this.#twice += 1
      this.#seen.add(seq)
      const before = BigInt(this.objects.get(id)?.version ?? 0)
      const version = BigInt(told.version)
      if (version < before || BigInt(seq) < BigInt(this.#lastSeqs.get(id) ?? 0)) this.#inverted += 1
      if (version !== before + 1n) this.#skipping += 1
      this.objects.set(id, told)
      this.#lastSeqs.set(id, seq)
    }
  }

  has(seq: string): boolean {
    return this.#seen.has(seq)
  }

  judge(announced: readonly string[]): Verdict {
    const missed = announced.filter((seq) => !this.#seen.has(seq)).length
    return {
      read: this.#seen.size,
      missed,
      twice: this.#twice,
      inverted: this.#inverted,
      skipping: this.#skipping,
    }
  }

  /** Tells the objects whose row is not as the fold says; an object without a row must have been told as removed. */
  unlike(rows: readonly (FoldedObject & { readonly id: string })[]): readonly string[] {
    const left = new Map(this.objects)
    const spell = (object: FoldedObject | undefined): string =>
      object === undefined
        ? 'nothing'
        : [object.family, object.version, object.status, object.event_id, object.inquiry_id].map(String).join(' ')
    const differences: string[] = []
    for (const { id, ...row } of rows) {
      const folded = left.get(id)
      left.delete(id)
      if (spell(folded) !== spell(row)) differences.push(`${id}: row ${spell(row)}, fold ${spell(folded)}`)
    }
    for (const [id, folded] of left)
      if (folded.status !== null || folded.event_id !== null) differences.push(`${id}: no row, fold ${spell(folded)}`)
    return differences
  }
}
