/** An event of the log and about how much of it is stored, in bytes; compressed, so a fraction of its text. */
export type EventSize = { readonly id: string; readonly bytes: number }

/** Small enough that a chunk's transaction takes a fraction of a second and its documents a few MB. */
const MAX_EVENTS = 250
const MAX_BYTES = 1_000_000

/** Cuts events into chunks that fit into memory, however large the single ones are. */
export function* eventChunks(events: readonly EventSize[]): Generator<readonly string[]> {
  let chunk: string[] = []
  let bytes = 0
  for (const event of events) {
    if (chunk.length > 0 && (chunk.length >= MAX_EVENTS || bytes + event.bytes > MAX_BYTES)) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(event.id)
    bytes += event.bytes
  }
  if (chunk.length > 0) yield chunk
}
