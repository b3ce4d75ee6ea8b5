import type { Output } from './output.ts'

const CLEAR_LINE = '\r\u001b[2K'

/** One line on stderr that says how far long work is; nothing where that is no terminal. */
export type StatusLine = { readonly show: (text: string) => void; readonly clear: () => void }

export function statusLine(output: Output): StatusLine {
  if (!output.showsProgress) return { show: () => undefined, clear: () => undefined }
  return { show: (text) => output.draw(`${CLEAR_LINE}${text}`), clear: () => output.draw(CLEAR_LINE) }
}
