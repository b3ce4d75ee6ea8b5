import { Option } from 'commander'
import { wholeNumber } from '../option-values.ts'

/** Far below what a worker stores, so that deliveries hardly notice. */
const DEFAULT_RATE = 200

export function rateOption(): Option {
  return new Option('--rate <n>', 'events a second at most').default(DEFAULT_RATE).argParser(wholeNumber(1, 100_000))
}

export function waitOption(): Option {
  return new Option('--wait', 'return when applied, not when enqueued; a worker must run')
}
