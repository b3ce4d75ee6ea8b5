const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const

/** A duration in ms for people: `12 ms`, `2.1 s`, `3.5 h`. */
export function formatDuration(durationMs: number): string {
  const unit = UNITS.find(([, lengthMs]) => durationMs >= lengthMs)
  if (unit === undefined) return `${Math.round(durationMs)} ms`
  const [name, lengthMs] = unit
  return `${(durationMs / lengthMs).toFixed(1)} ${name}`
}
