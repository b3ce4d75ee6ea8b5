import { createHmac, timingSafeEqual } from 'node:crypto'

/** The provider's environment of an event. A body does not tell it; the signing secret that matched does. */
export type Environment = 'production' | 'sandbox'

/** A secret of one webhook (`wbhsec_...`, used whole as UTF-8 bytes) and the webhook's environment. */
export type SigningSecret = { readonly value: string; readonly environment: Environment }

export type SignatureVerdict =
  | { readonly ok: true; readonly environment: Environment; readonly timestampSeconds: number }
  | {
      readonly ok: false
      readonly code: 'SIGNATURE_TOO_OLD' | 'SIGNATURE_IN_FUTURE'
      readonly environment: Environment
      readonly timestampSeconds: number
    }
  | { readonly ok: false; readonly code: 'SIGNATURE_MISSING' | 'SIGNATURE_MALFORMED' | 'SIGNATURE_MISMATCH' }

type SignatureGroup = { readonly timestamp: string; readonly digests: readonly Buffer[] }

/**
 * The most bytes hashed for one secret: eight distinct times over a body of 2 MiB, hundreds over a usual one. A header
 * holds about 200 groups at most; the provider sends two, with one time.
 */
const MAX_HASHED_BYTES = 16 * 1024 * 1024

/**
 * Distinct times out of tolerance that are verified. A match cannot be accepted and only tells the reason for the 401;
 * each costs one HMAC per secret over a body of up to some MiB.
 */
const MAX_TIMES_OUT_OF_TOLERANCE = 2

/** Clocks drift: a `t` up to this far in the future is accepted. @see docs/contract.md#3-environment-and-processes */
const FUTURE_TOLERANCE_SECONDS = 300

const TIMESTAMP = /^\d{1,12}$/
const DIGEST = /^[0-9a-f]{64}$/

/** Collects times and digests in the order of a header: a digest belongs to the time before it, or else to the next. */
class GroupReader {
  readonly groups: { timestamp: string; digests: Buffer[] }[] = []
  #open: { digests: Buffer[] } | undefined
  #withoutTime: Buffer[] = []

  read(pair: string): void {
    const [key, value = '', ...rest] = pair.split('=')
    if (rest.length > 0) return
    if (key === 't' && TIMESTAMP.test(value)) this.#readTime(value)
    if (key === 'v1' && DIGEST.test(value)) (this.#open?.digests ?? this.#withoutTime).push(Buffer.from(value, 'hex'))
  }

  /** A blank ends a group that has digests. A blank inside a group does not. */
  endOfWord(): void {
    if ((this.#open?.digests.length ?? 0) > 0) this.#open = undefined
  }

  end(): readonly SignatureGroup[] {
    this.groups.at(-1)?.digests.push(...this.#withoutTime)
    return this.groups.filter(({ digests }) => digests.length > 0)
  }

  #readTime(timestamp: string): void {
    const group = { timestamp, digests: this.#withoutTime }
    this.groups.push(group)
    // Digests before their time belong to it; digests behind it then belong to the next time.
    this.#open = group.digests.length > 0 ? undefined : group
    this.#withoutTime = []
  }
}

/**
 * Reads the groups of a header in each form that gateways produce: repeated headers joined by a comma, blanks after a
 * comma or around `=`, a line break or tab for a blank, values in quotes.
 */
function readGroups(header: string): readonly SignatureGroup[] {
  const reader = new GroupReader()
  // Two steps: one expression with `\s*` on both sides takes quadratic time over many blanks.
  const words = header
    .replaceAll('"', '')
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/ ?([,;=]) ?/g, '$1')
    .split(' ')
  for (const word of words) {
    for (const pair of word.split(/[,;]/)) reader.read(pair)
    reader.endOfWord()
  }
  return reader.end()
}

function digestOf(secret: string, timestamp: string, body: Uint8Array): Buffer {
  return createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest()
}

/** Returns one group for each text of `t`, in the header's order, so that a text costs one digest per secret. */
function groupsByTimestamp(groups: readonly SignatureGroup[]): readonly SignatureGroup[] {
  const byTimestamp = new Map<string, Buffer[]>()
  for (const { timestamp, digests } of groups) {
    byTimestamp.set(timestamp, [...(byTimestamp.get(timestamp) ?? []), ...digests])
  }
  return [...byTimestamp].map(([timestamp, digests]) => ({ timestamp, digests }))
}

function isInTime(timestampSeconds: number, nowMs: number, toleranceSeconds: number): boolean {
  const ageSeconds = nowMs / 1000 - timestampSeconds
  return ageSeconds <= toleranceSeconds && ageSeconds >= -FUTURE_TOLERANCE_SECONDS
}

function judgeAge(
  matched: { environment: Environment; timestampSeconds: number },
  nowMs: number,
  toleranceSeconds: number,
): SignatureVerdict {
  if (isInTime(matched.timestampSeconds, nowMs, toleranceSeconds)) return { ok: true, ...matched }
  const isOld = nowMs / 1000 > matched.timestampSeconds
  return { ok: false, code: isOld ? 'SIGNATURE_TOO_OLD' : 'SIGNATURE_IN_FUTURE', ...matched }
}

export type SignatureInput = {
  readonly header: string | undefined
  readonly body: Uint8Array
  readonly secrets: readonly SigningSecret[]
  readonly nowMs: number
  readonly toleranceSeconds: number
}

/**
 * Returns the groups that are worth a digest: first those in tolerance, the nearest to `nowMs` first, then a few that
 * tell an old signature from a mismatch.
 */
function candidatesOf(groups: readonly SignatureGroup[], input: SignatureInput): readonly SignatureGroup[] {
  const { body, nowMs, toleranceSeconds } = input
  const distance = ({ timestamp }: SignatureGroup) => Math.abs(nowMs / 1000 - Number(timestamp))
  const isInTolerance = ({ timestamp }: SignatureGroup) => isInTime(Number(timestamp), nowMs, toleranceSeconds)
  const distinct = groupsByTimestamp(groups)
  const inside = distinct.filter(isInTolerance).toSorted((one, other) => distance(one) - distance(other))
  const outside = distinct.filter((group) => !isInTolerance(group))
  const most = Math.max(1, Math.floor(MAX_HASHED_BYTES / Math.max(1, body.length)))
  return [...inside.slice(0, most), ...outside.slice(0, MAX_TIMES_OUT_OF_TOLERANCE)]
}

/**
 * Verifies a header as {@link verifySignature} in steps, so that the caller can do other work in between. Each `next()`
 * after the first computes one digest of the body. Each yields the number of digests left at most.
 */
export function* signatureVerification(input: SignatureInput): Generator<number, SignatureVerdict, void> {
  if (input.header === undefined || input.header.trim() === '') return { ok: false, code: 'SIGNATURE_MISSING' }
  const groups = readGroups(input.header)
  if (groups.length === 0) return { ok: false, code: 'SIGNATURE_MALFORMED' }

  const candidates = candidatesOf(groups, input)
  let left = candidates.length * input.secrets.length
  for (const { timestamp, digests } of candidates) {
    for (const { value, environment } of input.secrets) {
      yield left--
      const expected = digestOf(value, timestamp, input.body)
      if (!digests.some((digest) => timingSafeEqual(digest, expected))) continue
      // Candidates in tolerance come first, so that the first match decides.
      return judgeAge({ environment, timestampSeconds: Number(timestamp) }, input.nowMs, input.toleranceSeconds)
    }
  }
  return { ok: false, code: 'SIGNATURE_MISMATCH' }
}

/**
 * Verifies a `Persona-Signature` header over the raw bytes of a body.
 *
 * Any group of the header (`t=<unix seconds>,v1=<lower-case hex>`, separated by blanks or commas) may match with any
 * secret, so that a rotation loses nothing in either order of change. `t` may be `toleranceSeconds` old and 300 s ahead.
 * The body is hashed once per distinct `t` and secret. Never throws.
 *
 * @see https://docs.withpersona.com/webhooks-best-practices
 */
export function verifySignature(input: SignatureInput): SignatureVerdict {
  const steps = signatureVerification(input)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** Returns the header with which the provider signs a body: one group per secret, separated by a blank. */
export function signatureHeader(input: {
  body: Uint8Array
  secrets: readonly string[]
  timestampSeconds: number
}): string {
  const timestamp = String(input.timestampSeconds)
  return input.secrets
    .map((secret) => `t=${timestamp},v1=${digestOf(secret, timestamp, input.body).toString('hex')}`)
    .join(' ')
}
