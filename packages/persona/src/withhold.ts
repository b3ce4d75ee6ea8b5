import { compileBlocklist } from './blocklist.ts'
import { bodyText } from './envelope.ts'
import {
  isJsonObject,
  newObject,
  own,
  parseExact,
  setMember,
  stringifyExact,
  type JsonObject,
  type JsonValue,
} from './json.ts'

export type WithholdOptions = {
  /** Attributes that are not stored at all; see {@link compileBlocklist}. */
  readonly blocklist: readonly string[]
  /** Whether links to files lose their `access_token`, with which anybody could read the file for some hours. */
  readonly dropsFileTokens: boolean
}

type Visit = {
  readonly isBlocked: (keys: readonly string[], type: string) => boolean
  readonly type: string
  readonly dropsFileTokens: boolean
}

const FILE_TOKEN = /([?&])access_token=[^&#\s]*(&?)/g

/** `?access_token=T&x=1` -> `?x=1`, `?x=1&access_token=T` -> `?x=1`. */
function withoutToken(text: string): string {
  if (!text.includes('access_token=')) return text
  return text.replace(FILE_TOKEN, (_match, before: string, after: string) => (after === '' ? '' : before))
}

function visitValue(value: JsonValue, keys: readonly string[], visit: Visit): JsonValue {
  if (typeof value === 'string') return visit.dropsFileTokens ? withoutToken(value) : value
  if (Array.isArray(value)) return value.map((item) => visitValue(item, keys, visit))
  return isJsonObject(value) ? visitMembers(value, keys, visit) : value
}

function visitMembers(object: JsonObject, keys: readonly string[], visit: Visit): JsonObject {
  const kept = newObject()
  for (const key of Object.keys(object)) {
    const path = [...keys, key]
    if (!visit.isBlocked(path, visit.type)) setMember(kept, key, visitValue(object[key] as JsonValue, path, visit))
  }
  return kept
}

function withMember(object: JsonObject, key: string, change: (value: JsonValue) => JsonValue): JsonObject {
  const value = own(object, key)
  return value === undefined ? object : { ...object, [key]: change(value) }
}

function inObject(object: JsonValue, change: (object: JsonObject) => JsonObject): JsonValue {
  return isJsonObject(object) ? change(object) : object
}

/** The body's document as text; null where it is none, or is nested beyond what can be visited. */
function rewritten(body: Uint8Array, change: (document: JsonValue) => JsonValue): string | null {
  try {
    return stringifyExact(change(parseExact(bodyText(body))))
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return null
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
    return withMember(object, 'attributes', (value) => inObject(value, (members) => visitMembers(members, [], visit)))
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
