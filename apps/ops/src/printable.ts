/** Control characters, line separators and bidirectional controls: stored text must not move a terminal's cursor. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** A text with whatever a terminal would obey written as an escape, on one line. Fit for JSON text, too. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escape)
}
