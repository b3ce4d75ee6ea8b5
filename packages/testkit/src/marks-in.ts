/** The part of a mark's base64 that is the same whatever stands around it, where it begins `shift` bytes into a triple. */
function base64Of(mark: string, shift: 0 | 1 | 2): string {
  const bytes = Buffer.concat([Buffer.alloc(shift), Buffer.from(mark)])
  return bytes.toString('base64').slice([0, 2, 3][shift], Math.floor((bytes.length * 8) / 6))
}

function spellings(mark: string): readonly string[] {
  const bytes = Buffer.from(mark)
  return [
    mark,
    mark.toLowerCase(),
    encodeURIComponent(mark),
    bytes.toString('hex'),
    base64Of(mark, 0),
    base64Of(mark, 1),
    base64Of(mark, 2),
  ]
}

/** Which of the marks stand anywhere in a text: as they are, in small letters, URL-encoded, in hex, or in base64. */
export function marksIn(text: string, marks: readonly string[]): readonly string[] {
  return marks.filter((mark) => spellings(mark).some((spelling) => text.includes(spelling)))
}
