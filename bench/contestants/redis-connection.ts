/** BullMQ's connection options for the server of this run. */
export function redisConnection(): {
  readonly host: string
  readonly port: number
  readonly maxRetriesPerRequest: null
} {
  const { hostname, port } = new URL(process.env['REDIS_URL'] ?? '')
  return { host: hostname, port: Number(port), maxRetriesPerRequest: null }
}
