/**
 * How often a property is tried: `runs` times, `PROPERTY_RUNS` times where that is set. The seed is a new one each time;
 * fast-check prints it with a counterexample, and `PROPERTY_SEED` brings it back.
 */
export function propertyRuns(runs: number): { readonly numRuns: number; readonly seed?: number } {
  const seed = process.env['PROPERTY_SEED']
  return { numRuns: Number(process.env['PROPERTY_RUNS'] ?? runs), ...(seed !== undefined && { seed: Number(seed) }) }
}
