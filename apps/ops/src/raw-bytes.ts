import type { Output } from './output.ts'

/** Writes stored bytes to stdout exactly as they are. */
export function printRawBytes(output: Output, bytes: Uint8Array): void {
  if (output.isTerminal) output.note('warning: what follows is not masked')
  output.write(bytes)
}
