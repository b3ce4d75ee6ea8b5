import { compileBlocklist, type Place } from './blocklist.ts'
import { copyJson, isJsonObject, own, setMember, type JsonObject, type JsonValue } from './json.ts'
import { parseExact, stringifyExact } from './json-text.ts'
import { bodyText } from './envelope.ts'

export type WithholdOptions = {
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
export function withholder(options: WithholdOptions): (body: Uint8Array) => Uint8Array {
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
