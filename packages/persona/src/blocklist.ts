import { snakeCase } from './casing.ts'

/** One pattern of a blocklist, taken apart. */
type Rule = {
  readonly isExemption: boolean
  /** Patterns of the keys from the object's `attributes` down; a single one of a rule without path fits at any depth. */
  readonly path: readonly Wildcards[]
  readonly isAnchored: boolean
  /** Which objects it is about; null: all. */
  readonly type: Wildcards | null
}

/** Where a member of an object's attributes stands: its key, and the member that it stands in. */
export type Place = { readonly key: string; readonly depth: number; readonly above: Place | null }

const PATH_PREFIX = '/data/attributes/'
const PATTERN = /^!?(?:\/data\/attributes\/)?[\w*-]+(?:\/[\w*-]+)*(?:\?type=[\w/*-]+)?$/

/** Statuses and the provider's word that an object was redacted: without them rows would be wrong, or stay. */
const NEVER_BLOCKED = new Set(['status', 'redacted_at'])

/** Tells whether a text is a pattern of a blocklist. */
export function isBlocklistPattern(text: string): boolean {
  const [path = ''] = text.replace(/^!/, '').split('?')
  return PATTERN.test(text) && (!path.includes('/') || path.startsWith(PATH_PREFIX))
}

/** The parts of a pattern between its stars. */
type Wildcards = readonly string[]

function wildcards(text: string): Wildcards {
  return text.split('*')
}

/** Part by part, each as early as it comes: the time grows with the text's length, however many stars there are. */
function matches(parts: Wildcards, text: string): boolean {
  const [first = '', ...rest] = parts
  const last = rest.pop()
  if (last === undefined) return text === first
  if (!text.startsWith(first)) return false
  let at = first.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}

/** Whatever case style a key is written in: `name-first`, `nameFirst` and `name_first` are one. */
function styleless(key: string): string {
  return snakeCase(key.replaceAll('-', '_'), 'camel')
}

function readRule(text: string): Rule {
  const isExemption = text.startsWith('!')
  const [path = '', type] = text.slice(isExemption ? 1 : 0).split('?type=')
  const isAnchored = path.startsWith(PATH_PREFIX)
  const keys = (isAnchored ? path.slice(PATH_PREFIX.length) : path).split('/')
  return {
    isExemption,
    isAnchored,
    path: keys.map((key) => wildcards(styleless(key))),
    type: type === undefined ? null : wildcards(type),
  }
}

/** Looks at as many keys as the rule has, whatever the depth. */
function fits({ path, isAnchored, type }: Rule, place: Place, objectType: string): boolean {
  if (type !== null && !matches(type, objectType)) return false
  if (isAnchored && place.depth !== path.length) return false
  let at: Place | null = place
  for (const pattern of path.toReversed()) {
    if (at === null || !matches(pattern, styleless(at.key))) return false
    at = at.above
  }
  return true
}

/**
 * Compiles a blocklist, in the provider's own way of writing them: a key such as `name-*`, at any depth and whatever its
 * case style, or a path such as `/data/attributes/fields/name-*?type=inquiry`; a `!` before a pattern exempts. Returns
 * what tells of a place in an object's `attributes`, and the object's type, whether it is blocked.
 *
 * @see https://docs.withpersona.com/webhook-attribute-blocklists
 */
export function compileBlocklist(patterns: readonly string[]): (place: Place, type: string) => boolean {
  const rules = patterns.map(readRule)
  return (place, type) => {
    if (place.depth === 1 && NEVER_BLOCKED.has(styleless(place.key))) return false
    const found = rules.filter((rule) => fits(rule, place, type))
    return found.length > 0 && found.every((rule) => !rule.isExemption)
  }
}
