import { snakeCase } from './attributes.ts'
import { bodyText } from './envelope.ts'
import {
  copyJson,
  isJsonObject,
  own,
  parseExact,
  setMember,
  stringifyExact,
  type JsonObject,
  type JsonValue,
} from './json.ts'

/** One parsed pattern of a blocklist. */
type Rule = {
  readonly isExemption: boolean
  /** Patterns of consecutive keys. An anchored rule begins at `attributes`, any other matches at any depth. */
  readonly path: readonly Wildcards[]
  readonly isAnchored: boolean
  /** Pattern of the objects' type; null matches all. */
  readonly type: Wildcards | null
}

/** The place of a member in an object's attributes: its key and depth (from 1), and the member around it. */
export type Place = { readonly key: string; readonly depth: number; readonly above: Place | null }

const PATH_PREFIX = '/data/attributes/'
const PATTERN = /^!?(?:\/data\/attributes\/)?[\w*-]+(?:\/[\w*-]+)*(?:\?type=[\w/*-]+)?$/

/** Without the status a row is wrong; without `redacted_at` a redaction is missed. */
const NEVER_BLOCKED = new Set(['status', 'redacted_at'])

/** Tells whether a text is a valid pattern of a blocklist. */
export function isBlocklistPattern(text: string): boolean {
  const [path = ''] = text.replace(/^!/, '').split('?')
  return PATTERN.test(text) && (!path.includes('/') || path.startsWith(PATH_PREFIX))
}

/** The parts of a pattern between its stars. */
type Wildcards = readonly string[]

function wildcards(text: string): Wildcards {
  return text.split('*')
}

/** Matches each part at its first occurrence, so that many stars do not multiply the time. */
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

/** Returns one name for all casings of a key: `name-first`, `nameFirst` and `name_first`. */
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

/** Compares as many keys as the rule has, from the innermost outwards. */
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
 * Compiles a blocklist in the provider's syntax: a key such as `name-*`, at any depth and in any casing, or a path such
 * as `/data/attributes/fields/name-*?type=inquiry`; a `!` before a pattern exempts. The returned function tells whether
 * a place in the attributes of an object is blocked.
 *
 * @see https://docs.withpersona.com/webhook-attribute-blocklists
 */
function compileBlocklist(patterns: readonly string[]): (place: Place, type: string) => boolean {
  const rules = patterns.map(readRule)
  return (place, type) => {
    if (place.depth === 1 && NEVER_BLOCKED.has(styleless(place.key))) return false
    const found = rules.filter((rule) => fits(rule, place, type))
    return found.length > 0 && found.every((rule) => !rule.isExemption)
  }
}

export type AttributeFilterOptions = {
  /** Patterns of attributes that are not stored; an empty list filters none. */
  readonly blocklist: readonly string[]
  /** Whether links to files lose their `access_token`, which gives access to the file for some hours. */
  readonly dropsFileTokens: boolean
}

type Visit = {
  readonly isBlocked: (place: Place, type: string) => boolean
  readonly type: string
  readonly dropsFileTokens: boolean
}

const FILE_TOKEN = /([?&])access_token=[^&#\s]*(&?)/g

/** `?access_token=T&x=1` -> `?x=1`, `?x=1&access_token=T` -> `?x=1`. */
function withoutToken(text: string): string {
  if (!text.includes('access_token=')) return text
  return text.replace(FILE_TOKEN, (_match, before: string, after: string) => (after === '' ? '' : before))
}

/** Returns the attributes, of any depth, without blocked members and tokens. */
function visitAttributes(attributes: JsonObject, visit: Visit): JsonValue {
  return copyJson<Place | null>(attributes, null, {
    leaf: (value) => (typeof value === 'string' && visit.dropsFileTokens ? withoutToken(value) : value),
    fill: (source, target, copy, above) => {
      for (const key of Object.keys(source)) {
        const place = { key, depth: (above?.depth ?? 0) + 1, above }
        if (!visit.isBlocked(place, visit.type)) setMember(target, key, copy(source[key] as JsonValue, place))
      }
    },
  })
}

function withMember(object: JsonObject, key: string, change: (value: JsonValue) => JsonValue): JsonObject {
  const value = own(object, key)
  return value === undefined ? object : { ...object, [key]: change(value) }
}

function inObject(object: JsonValue, change: (object: JsonObject) => JsonObject): JsonValue {
  return isJsonObject(object) ? change(object) : object
}

/** Returns the text of the changed document; null where the body is not JSON. */
function rewritten(body: Uint8Array, change: (document: JsonValue) => JsonValue): string | null {
  try {
    return stringifyExact(change(parseExact(bodyText(body))))
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

/**
 * Returns a function that removes attributes from the objects in `payload.data` and `included` of a body. A body that is
 * not JSON stays as it is. Any other body is printed again, so that a blocked value cannot stay in duplicate keys.
 */
export function attributeFilter(options: AttributeFilterOptions): (body: Uint8Array) => Uint8Array {
  const { blocklist, dropsFileTokens } = options
  if (blocklist.length === 0 && !dropsFileTokens) return (body) => body
  const isBlocked = compileBlocklist(blocklist)
  const reduceObject = (object: JsonObject): JsonObject => {
    const type = own(object, 'type')
    const visit = { isBlocked, dropsFileTokens, type: typeof type === 'string' ? type : '' }
    return withMember(object, 'attributes', (value) => (isJsonObject(value) ? visitAttributes(value, visit) : value))
  }
  const reducePayload = (payload: JsonObject): JsonObject =>
    withMember(
      withMember(payload, 'data', (data) => inObject(data, reduceObject)),
      'included',
      (included) => (Array.isArray(included) ? included.map((each) => inObject(each, reduceObject)) : included),
    )
  const reduceDocument = (document: JsonValue): JsonValue =>
    inObject(document, (root) =>
      withMember(root, 'data', (data) =>
        inObject(data, (event) =>
          withMember(event, 'attributes', (attributes) =>
            inObject(attributes, (members) =>
              withMember(members, 'payload', (payload) => inObject(payload, reducePayload)),
            ),
          ),
        ),
      ),
    )
  return (body) => {
    const text = rewritten(body, reduceDocument)
    return text === null ? body : Buffer.from(text)
  }
}
