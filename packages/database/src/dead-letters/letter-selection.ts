/** Which dead letters: these ids in whatever state, or all open ones, of one reason where it is given. */
export type LetterSelection = { readonly ids: readonly string[] } | { readonly reason: string | null }

/** The condition that selects letters, by the two parameters of {@link selectionParameters} at `$1` and `$2`. */
export const selectedLettersSql = `(
  CASE WHEN $1::text[] IS NOT NULL THEN dead_letters.id = ANY($1::text[]::bigint[])
  ELSE dead_letters.state = 'open' AND ($2::text IS NULL OR dead_letters.reason = $2::text) END)`

export function selectionParameters(selection: LetterSelection): readonly [string[] | null, string | null] {
  return 'ids' in selection ? [selection.ids.map((id) => String(BigInt(id))), null] : [null, selection.reason]
}
