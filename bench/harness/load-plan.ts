import type { BodyOptions } from './bodies.ts'

/** What a load process is told to do. */
export type LoadPlan = {
  readonly port: number
  readonly secret: string
  readonly bodies: BodyOptions
  readonly connections: number
  /** Deliveries per second, each counted from its scheduled moment; null: the next when the last is answered. */
  readonly ratePerSecond: number | null
  /** Looks up how long after the answer a row can be queried, of one delivery in so many; 0 = never. */
  readonly lookUpEvery: number
  readonly databaseUrl: string | null
}

export type Percentiles = {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** What a load did; times in ms. */
export type LoadResult = {
  readonly deliveries: number
  readonly acknowledged: number
  readonly seconds: number
  readonly perSecond: number
  /** Deliveries by status; 0 = the connection ended. */
  readonly statuses: Readonly<Record<string, number>>
  readonly latencyMs: Percentiles
  /** From the 200 until a query finds the row. */
  readonly queryableMs: Percentiles | null
  readonly bodyBytes: number
}
