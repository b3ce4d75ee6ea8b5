import picocolors from 'picocolors'
import prettyMilliseconds from 'pretty-ms'

type Stream = {
  write(chunk: string | Uint8Array): unknown
  readonly isTTY?: boolean
  readonly writable?: boolean
}

/** Where a command writes: its result to stdout, everything else to stderr. */
export type Output = {
  /** Whether stdout is a terminal. */
  readonly isTerminal: boolean
  /** Whether stderr is a terminal, so that progress may be drawn there. */
  readonly showsProgress: boolean
  readonly colors: ReturnType<typeof picocolors.createColors>
  write(chunk: string | Uint8Array): void
  /** Whether the reader of stdout has closed it, as `head` does. */
  isClosed(): boolean
  /** Writes one line to stderr. */
  note(line: string): void
  /** Writes to stderr as it is. */
  draw(text: string): void
}

/** Makes an output of two streams; colours only on a terminal. */
export function createOutput(streams: { stdout: Stream; stderr: Stream }, wants: { color: boolean }): Output {
  const { stdout, stderr } = streams
  const isTerminal = stdout.isTTY === true
  return {
    isTerminal,
    showsProgress: stderr.isTTY === true,
    colors: picocolors.createColors(isTerminal && wants.color),
    write: (chunk) => void stdout.write(chunk),
    isClosed: () => stdout.writable === false,
    note: (line) => void stderr.write(`${line}\n`),
    draw: (text) => void stderr.write(text),
  }
}

/** Writes stored bytes to stdout without a change. */
export function printRawBytes(output: Output, bytes: Uint8Array): void {
  if (output.isTerminal) output.note('warning: what follows is not masked')
  output.write(bytes)
}

/**
 * Control characters, line separators, bidirectional controls, and invisible characters: zero-width ones, tags, variation
 * selectors, annotation marks, halves of surrogate pairs. Stored text must not move a terminal's cursor, and two texts
 * that differ must not look the same.
 */
const UNPRINTABLE =
  /[\p{Control}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\p{Surrogate}\u2028\u2029\ufff9-\ufffb]/gu

/** By UTF-16 unit, as JSON writes characters above U+FFFF. */
function escape(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}

/** A text on one line with its control and invisible characters as escapes; JSON text stays equal in meaning. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escape)
}

/** A duration in ms for people, in two units from a minute on: `12 ms`, `2.1 s`, `1 min 30 s`, `3 h 30 min`. */
export function formatDuration(durationMs: number): string {
  const options = durationMs < 60_000 ? { keepDecimalsOnWholeSeconds: true } : { unitCount: 2, secondsDecimalDigits: 0 }
  const text = prettyMilliseconds(Math.round(durationMs), options)
  // `m` alone reads as metre, or as month.
  return text.replace(/(?<=\d)m(?= |$)/, 'min').replaceAll(/(?<=\d)(?=[a-z])/g, ' ')
}
