/**
 * Control characters, line separators, bidirectional controls, and all that shows nothing: zero-width characters, tags,
 * variation selectors, annotation marks, halves of surrogate pairs. Stored text must not move a terminal's cursor, and
 * two texts that differ must not look the same.
 */
const UNPRINTABLE =
  /[\p{Control}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\p{Surrogate}\u2028\u2029\ufff9-\ufffb]/gu

/** By UTF-16 unit, as JSON writes what is beyond the first plane. */
function escape(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}

/** A text with whatever a terminal would obey or not show written as an escape, on one line. Fit for JSON text, too. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escape)
}
