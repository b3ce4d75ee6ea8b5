/** The middle of several measurements, and how far they lie apart. */
export type Spread = { readonly median: number; readonly min: number; readonly max: number }

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right)
  const middle = sorted.length / 2
  const median = ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle) - 1] ?? NaN)) / 2
  return { median, min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN }
}

export type Contestant<T> = { readonly name: string; run(round: number): Promise<T> }

/** Every contestant in turn, round after round, so that a machine that changes its speed is unfair to none. */
export async function inTurns<T>(
  contestants: readonly Contestant<T>[],
  options: { readonly rounds: number; readonly say: (line: string) => void },
): Promise<ReadonlyMap<string, readonly T[]>> {
  const results = new Map<string, T[]>(contestants.map(({ name }) => [name, []]))
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const contestant of contestants) {
      const { name } = contestant
      const startedAt = performance.now()
      results.get(name)?.push(await contestant.run(round))
      options.say(
        `round ${round} of ${options.rounds}: ${name}, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
      )
    }
  }
  return results
}
