import picocolors from 'picocolors'

type Stream = { write(chunk: string | Uint8Array): unknown; readonly isTTY?: boolean }

/** Where a command writes: what was asked for to stdout, everything else to stderr. */
export type Output = {
  /** Whether stdout is a terminal. */
  readonly isTerminal: boolean
  /** Whether stderr is a terminal, so that progress may be drawn there. */
  readonly showsProgress: boolean
  readonly colors: ReturnType<typeof picocolors.createColors>
  write(chunk: string | Uint8Array): void
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
    note: (line) => void stderr.write(`${line}\n`),
    draw: (text) => void stderr.write(text),
  }
}

/** Writes stored bytes to stdout exactly as they are. */
export function printRawBytes(output: Output, bytes: Uint8Array): void {
  if (output.isTerminal) output.note('warning: what follows is not masked')
  output.write(bytes)
}
