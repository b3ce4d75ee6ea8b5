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
function compileBlocklist(patterns: readonly string[]): (place: Place, type: string) => boolean {
  const rules = patterns.map(readRule)
  return (place, type) => {
    if (place.depth === 1 && NEVER_BLOCKED.has(styleless(place.key))) return false
    const found = rules.filter((rule) => fits(rule, place, type))
    return found.length > 0 && found.every((rule) => !rule.isExemption)
  }
}

export type AttributeFilterOptions = {
  /** Attributes that are not stored at all; see {@link compileBlocklist}. */
  readonly blocklist: readonly string[]
  /** Whether links to files lose their `access_token`, with which anybody could read the file for some hours. */
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

/** What is left of an object's attributes, however deeply they are nested. */
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

/** The body's document as text; null where it is no JSON. */
function rewritten(body: Uint8Array, change: (document: JsonValue) => JsonValue): string | null {
  try {
    return stringifyExact(change(parseExact(bodyText(body))))
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

/**
 * Makes the function that takes out of an event's body what is not to be stored: from the attributes of every object in
 * `payload.data` and `included`. What can't be read as JSON stays as it is; everything else is written anew, so that what
 * only its text held (blanks, the first of two equal keys) goes with it.
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
