/** Control characters, line separators and bidirectional controls: stored text must not move a terminal's cursor. */
const UNPRINTABLE = /[\p{Control}\p{Bidi_Control}\u2028\u2029]/gu

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** A text with whatever a terminal would obey written as an escape, on one line. Fit for JSON text, too. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escape)
}
