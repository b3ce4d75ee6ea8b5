/** Cuts a list into pages, so that no statement and no moment holds more documents than fit. */
export function* inPages<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}
