import { createInterface } from 'node:readline/promises'

/** Asks a question that only the whole word `yes` answers with yes. */
export type Confirm = (question: string) => Promise<boolean>

type Terminal = NodeJS.ReadStream & { readonly isTTY?: boolean }

/** Asks on a terminal; null where there is none to ask on. */
export function confirmOn(streams: { stdin: Terminal; stderr: NodeJS.WriteStream }): Confirm | null {
  const { stdin: input, stderr: output } = streams
  if (!input.isTTY || !output.isTTY) return null
  return async (question) => {
    const terminal = createInterface({ input, output })
    try {
      // Ctrl-D ends the input without an answer.
      const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')))
      return (await Promise.race([terminal.question(`${question} Type yes: `), closed])).trim() === 'yes'
    } finally {
      terminal.close()
    }
  }
}
