/** The key inflections that a webhook can be configured with. */
export type Casing = 'kebab' | 'camel' | 'snake'

export type EventParts = {
  readonly id?: string
  readonly name?: string
  readonly createdAt?: string
  /** The object in `payload.data`. */
  readonly data?: object
  /** Default: none, so that the payload has no such member. */
  readonly included?: readonly unknown[]
  /** Further members of the event's attributes. */
  readonly extra?: object
}

/** Parts of any kind, for events that are not valid. */
type OddParts = { readonly [Part in keyof EventParts]?: unknown }

export type ObjectParts = { readonly attributes?: object; readonly relationships?: object }

/** Builds a JSON:API object with keys in kebab-case. */
export function anObject(type: string, id: string, parts: ObjectParts = {}): object {
  return { type, id, attributes: {}, ...parts }
}

/** Builds a relationship to one object or to several. */
export function related(...objects: readonly (readonly [type: string, id: string])[]): object {
  const references = objects.map(([type, id]) => ({ type, id }))
  return { data: references.length === 1 ? references[0] : references }
}

/** Builds the document of an event with keys in kebab-case; by default `evt_1` about the inquiry `inq_1`. */
export function anEvent(parts: OddParts = {}): object {
  const { id = 'evt_1', name = 'inquiry.transitioned', createdAt = '2026-02-03T10:00:00.000Z' } = parts
  const { data = anObject('inquiry', 'inq_1'), included, extra } = parts
  const payload = included === undefined ? { data } : { data, included }
  return {
    data: {
      type: 'event',
      id,
      attributes: { name, payload, 'created-at': createdAt, ...(extra as object | undefined) },
    },
  }
}

function recaseKey(key: string, casing: Casing): string {
  if (casing === 'kebab') return key
  if (casing === 'snake') return key.replaceAll('-', '_')
  return key.replaceAll(/-(.)/g, (_, next: string) => next.toUpperCase())
}

function recase(value: unknown, casing: Casing): unknown {
  if (Array.isArray(value)) return value.map((item) => recase(item, casing))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, member]) => [
    recaseKey(key, casing),
    key === 'fields' ? member : recase(member, casing),
  ])
  return Object.fromEntries(entries) as object
}

/** Returns the bytes of a delivery. As at the provider, the keys below `fields` keep their casing. */
export function bodyOf(document: object, casing: Casing = 'kebab'): Buffer {
  return Buffer.from(JSON.stringify(recase(document, casing)))
}

/** Returns the bytes of a delivery with JSON that JavaScript cannot print: a text `<<...>>` becomes the JSON inside. */
export function rawBody(document: object): Buffer {
  const text = bodyOf(document).toString()
  return Buffer.from(text.replaceAll(/"<<((?:[^"\\]|\\.)*)>>"/g, (_, raw: string) => JSON.parse(`"${raw}"`) as string))
}
