import { spreadOf } from './rounds.ts'

export function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits))
}

/** `1,234 (1,100-1,300)`: the median, and how far the rounds lie apart. */
export function withSpread(values: readonly number[], digits = 0): string {
  const { median, min, max } = spreadOf(values)
  const text = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: digits })
  return values.length === 1 ? text(median) : `${text(median)} (${text(min)}-${text(max)})`
}

export function medianOf(values: readonly number[]): number {
  return spreadOf(values).median
}
