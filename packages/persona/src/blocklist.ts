import { snakeCase } from './casing.ts'

/** One pattern of a blocklist, taken apart. */
type Rule = {
  readonly isExemption: boolean
  /** Patterns of the keys from the object's `attributes` down; a single one of a rule without path fits at any depth. */
  readonly path: readonly RegExp[]
  readonly isAnchored: boolean
  /** Which objects it is about; null: all. */
  readonly type: RegExp | null
}

const PATH_PREFIX = '/data/attributes/'
const PATTERN = /^!?(?:\/data\/attributes\/)?[\w*-]+(?:\/[\w*-]+)*(?:\?type=[\w/*-]+)?$/

/** Statuses and the provider's word that an object was redacted: without them rows would be wrong, or stay. */
const NEVER_BLOCKED = new Set(['status', 'redacted_at'])

/** Tells whether a text is a pattern of a blocklist. */
export function isBlocklistPattern(text: string): boolean {
  const [path = ''] = text.replace(/^!/, '').split('?')
  return PATTERN.test(text) && (!path.includes('/') || path.startsWith(PATH_PREFIX))
}

function wildcards(text: string): RegExp {
  return new RegExp(`^${text.replaceAll('*', '.*')}$`)
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

function fits({ path, isAnchored, type }: Rule, keys: readonly string[], objectType: string): boolean {
  if (type !== null && !type.test(objectType)) return false
  const last = isAnchored ? keys : keys.slice(-1)
  return last.length === path.length && path.every((pattern, index) => pattern.test(last[index] as string))
}

/**
 * Compiles a blocklist, in the provider's own way of writing them: a key such as `name-*`, at any depth and whatever its
 * case style, or a path such as `/data/attributes/fields/name-*?type=inquiry`; a `!` before a pattern exempts. Returns
 * what tells, of the keys from an object's `attributes` down, whether the last one is blocked.
 *
 * @see https://docs.withpersona.com/webhook-attribute-blocklists
 */
export function compileBlocklist(patterns: readonly string[]): (keys: readonly string[], type: string) => boolean {
  const rules = patterns.map(readRule)
  return (keys, type) => {
    const names = keys.map(styleless)
    if (names.length === 1 && NEVER_BLOCKED.has(names[0] as string)) return false
    const found = rules.filter((rule) => fits(rule, names, type))
    return found.length > 0 && found.every((rule) => !rule.isExemption)
  }
}
