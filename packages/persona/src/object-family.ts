/** Which table an object's row stands in. */
export type ObjectFamily = 'inquiry' | 'verification' | 'resource'

/** Types whose objects belong to an inquiry, alone or with a sub-type behind a slash. */
const LINKED_TYPES = new Set(['verification', 'report', 'document', 'selfie'])

/** Types whose redaction the provider tells: by an attribute of the object, or by an event of the type's own. */
const REDACTABLE_TYPES = new Set(['inquiry', 'account', 'transaction', 'case'])

/** The family of a JSON:API type such as `verification/selfie`; the provider's list of types is open. */
export function familyOf(type: string | null): ObjectFamily {
  if (type === 'inquiry') return 'inquiry'
  return type === 'verification' || type?.startsWith('verification/') ? 'verification' : 'resource'
}

/** Tells whether objects of a type carry an `inquiry_id`. */
export function carriesInquiryId(type: string | null): boolean {
  if (type === null) return false
  return type === 'inquiry-session' || type === 'session' || LINKED_TYPES.has(type.split('/', 1)[0] as string)
}

/** Tells whether the provider announces redactions of objects of a type. */
export function isRedactable(type: string | null): boolean {
  return type !== null && REDACTABLE_TYPES.has(type)
}
