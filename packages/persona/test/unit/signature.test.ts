import { createHmac } from 'node:crypto'
import t from 'tap'
import { signatureHeader, signatureVerification, verifySignature, type SigningSecret } from '../../src/signature.ts'

const NEW: SigningSecret = { value: 'wbhsec_00000000-0000-4000-8000-000000000001', environment: 'production' }
const OLD: SigningSecret = { value: 'wbhsec_00000000-0000-4000-8000-000000000002', environment: 'production' }
const SANDBOX: SigningSecret = { value: 'wbhsec_00000000-0000-4000-8000-000000000003', environment: 'sandbox' }
const BODY = Buffer.from('{"a":"Zoë"}')
const SENT_AT = 1_770_112_921
/** By `openssl dgst -sha256 -hmac`, so that a mistake shared by the code and its test shows. */
const DIGEST = 'c564e0b76b7673d7db408ff33cbbce26e874d67493560e17ac6abca7406fd656'

function digest(secret: SigningSecret, signed: string | Buffer, encoding: 'hex' | 'base64' = 'hex'): string {
  return createHmac('sha256', secret.value).update(signed).digest(encoding)
}

function group(secret: SigningSecret, timestamp: number | string = SENT_AT): string {
  return `t=${timestamp},v1=${digest(secret, `${timestamp}.${BODY.toString()}`)}`
}

function verify(
  header: string | undefined,
  overrides: { body?: Buffer; secrets?: readonly SigningSecret[]; nowMs?: number } = {},
) {
  return verifySignature({
    header,
    body: BODY,
    secrets: [NEW, OLD, SANDBOX],
    nowMs: SENT_AT * 1000,
    toleranceSeconds: 300,
    ...overrides,
  })
}

function codeOf(verdict: ReturnType<typeof verify>): string {
  return verdict.ok ? 'OK' : verdict.code
}

t.test('a digest made by another tool verifies', async (t) => {
  t.strictSame(verify(`t=${SENT_AT},v1=${DIGEST}`), { ok: true, environment: 'production', timestampSeconds: SENT_AT })
  t.equal(signatureHeader({ body: BODY, secrets: [NEW.value], timestampSeconds: SENT_AT }), `t=${SENT_AT},v1=${DIGEST}`)
})

t.test('the body is signed as bytes: one that is no UTF-8 verifies, and not with its replacement text', async (t) => {
  const body = Buffer.from([0xff, 0x00, 0x7b])
  const header = signatureHeader({ body, secrets: [NEW.value], timestampSeconds: SENT_AT })
  t.equal(codeOf(verify(header, { body })), 'OK')
  t.equal(codeOf(verify(header, { body: Buffer.from(body.toString()) })), 'SIGNATURE_MISMATCH')
  const empty = Buffer.alloc(0)
  const ofEmpty = signatureHeader({ body: empty, secrets: [NEW.value], timestampSeconds: SENT_AT })
  t.equal(codeOf(verify(ofEmpty, { body: empty })), 'OK')
})

t.test('a header that is absent or blank is missing', async (t) => {
  for (const header of [undefined, '', ' ', '\t'])
    t.equal(codeOf(verify(header)), 'SIGNATURE_MISSING', JSON.stringify(header))
})

t.test('a header without one whole group is malformed, and nothing throws', async (t) => {
  const headers = {
    text: 'nonsense',
    'only a time': `t=${SENT_AT}`,
    'only a digest': `v1=${DIGEST}`,
    'no values': 't=,v1=',
    'a time in words': `t=now,v1=${DIGEST}`,
    'a negative time': `t=-1,v1=${DIGEST}`,
    'a fractional time': `t=1.5,v1=${DIGEST}`,
    'a time with an exponent': `t=1e9,v1=${DIGEST}`,
    'a time in milliseconds': `t=${SENT_AT}000,v1=${DIGEST}`,
    'a time in other digits': `t=١٧٧٠١١٢٩٢١,v1=${DIGEST}`,
    'upper-case hex': `t=${SENT_AT},v1=${DIGEST.toUpperCase()}`,
    'one upper-case letter': `t=${SENT_AT},v1=${DIGEST.replace('c', 'C')}`,
    'a digest too short': `t=${SENT_AT},v1=${DIGEST.slice(2)}`,
    'a digest too short by half a byte': `t=${SENT_AT},v1=${DIGEST.slice(1)}`,
    'a digest too long': `t=${SENT_AT},v1=${DIGEST}00`,
    'a digest that is no hex': `t=${SENT_AT},v1=${'g'.repeat(64)}`,
    'a digest in base64': `t=${SENT_AT},v1=${digest(NEW, `${SENT_AT}.${BODY.toString()}`, 'base64')}`,
    'the secret itself': `t=${SENT_AT},v1=${NEW.value}`,
    'upper-case keys': `T=${SENT_AT},V1=${DIGEST}`,
    'another scheme': `t=${SENT_AT},v0=${DIGEST}`,
  }
  for (const [name, header] of Object.entries(headers)) t.equal(codeOf(verify(header)), 'SIGNATURE_MALFORMED', name)
})

t.test('what other receivers take for the signed text does not match', async (t) => {
  const body = BODY.toString()
  const texts = {
    'the body alone': body,
    'body.t': `${body}.${SENT_AT}`,
    't:body': `${SENT_AT}:${body}`,
    't and body without a dot': `${SENT_AT}${body}`,
    'the body with escapes': `${SENT_AT}.{"a":"Zo\\u00eb"}`,
    'another time': `${SENT_AT + 1}.${body}`,
  }
  for (const [name, signed] of Object.entries(texts))
    t.equal(codeOf(verify(`t=${SENT_AT},v1=${digest(NEW, signed)}`)), 'SIGNATURE_MISMATCH', name)
  const decoded = createHmac('sha256', Buffer.from(NEW.value.slice(7), 'hex')).update(`${SENT_AT}.${body}`)
  t.equal(codeOf(verify(`t=${SENT_AT},v1=${decoded.digest('hex')}`)), 'SIGNATURE_MISMATCH', 'a decoded secret')
})

t.test('any group of the header may match, wherever it stands', async (t) => {
  const bad = `t=${SENT_AT},v1=${'0'.repeat(64)}`
  for (const others of [[bad], ['nonsense'], [bad, 'v1=', bad]]) {
    t.equal(codeOf(verify([group(NEW), ...others].join(' '))), 'OK', 'first')
    t.equal(codeOf(verify([...others, group(NEW)].join(' '))), 'OK', 'last')
    t.equal(codeOf(verify([...others, group(NEW), ...others].join('  \t '))), 'OK', 'in the middle')
    t.equal(codeOf(verify([...others, bad].join(' '))), 'SIGNATURE_MISMATCH', 'none')
  }
})

t.test('each group is verified with its own time', async (t) => {
  t.equal(codeOf(verify(`t=${SENT_AT - 5},v1=${DIGEST} t=${SENT_AT},v1=${'0'.repeat(64)}`)), 'SIGNATURE_MISMATCH')
  t.match(verify(`${group(OLD, SENT_AT - 5)} t=${SENT_AT},v1=${'0'.repeat(64)}`), { timestampSeconds: SENT_AT - 5 })
})

t.test('a group may hold several digests and pairs that are not known', async (t) => {
  t.equal(codeOf(verify(`t=${SENT_AT},v1=${'0'.repeat(64)},v1=${DIGEST}`)), 'OK')
  t.equal(codeOf(verify(`v2=x,v1=${DIGEST},t=${SENT_AT},,x`)), 'OK')
})

t.test('headers joined by the server with a comma and a blank verify by either', async (t) => {
  const bad = `t=${SENT_AT},v1=${'0'.repeat(64)}`
  t.equal(codeOf(verify(`${group(NEW)}, ${bad}`)), 'OK')
  t.equal(codeOf(verify(`${bad}, ${group(NEW)}`)), 'OK')
  t.equal(codeOf(verify(`${bad}, ${bad}`)), 'SIGNATURE_MISMATCH')
})

t.test('a header verifies in every form that gateways make of it', async (t) => {
  const good = `v1=${DIGEST}`
  const bad = `v1=${'0'.repeat(64)}`
  const now = `t=${SENT_AT}`
  const earlier = `t=${SENT_AT - 5}`
  const forms = {
    'a blank after the comma': `${now}, ${good}`,
    'a blank before the comma': `${now} ,${good}`,
    'a tab and a blank around the comma': `${now}\t, ${good}`,
    'a blank for the comma': `${now} ${good}`,
    'a line break for the blank': `${earlier},${bad}\r\n ${now},${good}`,
    'blanks around the equals sign': `t = ${SENT_AT},v1 = ${DIGEST}`,
    'blanks at both ends': `  ${now},${good}\t`,
    'commas at both ends': `,${now},${good},`,
    'groups joined by a comma': `${earlier},${bad},${now},${good}`,
    'groups joined by a comma, the good one first': `${now},${good},${earlier},${bad}`,
    'groups joined by a comma and a blank': `${earlier},${bad}, ${now},${good}`,
    'groups joined by a semicolon': `${earlier},${bad};${now},${good}`,
    'a blank after every comma of two groups': `${earlier}, ${bad}, ${now}, ${good}`,
    'the same header three times': Array.from({ length: 3 }, () => `${earlier},${bad} ${now},${good}`).join(','),
    'digests before their times, joined by a comma': `${bad},${earlier},${good},${now}`,
    'digests before their times, by blanks': `${bad},${earlier} ${good},${now}`,
    'a digest on either side of the time': `${bad},${now},${good}`,
    'both orders in two groups': `${earlier},${bad} ${good},${now}`,
    'a time without a digest before it': `t=1,${now},${good}`,
    'a group of another scheme joined': `t=1,v0=x,${now},${good}`,
    'the value in quotes': `"${now},${good}"`,
    'each value in quotes': `t="${SENT_AT}",v1="${DIGEST}"`,
  }
  for (const [name, header] of Object.entries(forms)) t.equal(codeOf(verify(header)), 'OK', name)
})

t.test('a digest counts for the time of its own group only, however groups are joined', async (t) => {
  for (const join of [' ', ',', ', ', ' , ', ';']) {
    const header = [`t=${SENT_AT - 5},v1=${DIGEST}`, `t=${SENT_AT},v1=${'0'.repeat(64)}`].join(join)
    t.equal(codeOf(verify(header)), 'SIGNATURE_MISMATCH', JSON.stringify(join))
  }
})

t.test('no number of other groups hides the one that matches', async (t) => {
  const others = Array.from({ length: 180 }, (_, index) => `t=${SENT_AT - index - 1},v1=${'0'.repeat(64)}`)
  for (const join of [' ', ','])
    for (const groups of [
      [group(NEW), ...others],
      [...others, group(NEW)],
    ])
      t.equal(codeOf(verify(groups.join(join))), 'OK')
})

t.test('a header of blanks and separators is read in linear time', async (t) => {
  for (const filler of [' ', '\t', ',', '=', ', ', 't', 't=1,', ' ;'])
    for (const ends of ['', 't=1'])
      t.not(codeOf(verify(`${ends}x${filler.repeat(500_000 / filler.length)}x`)), 'OK', JSON.stringify(filler))
})

t.test('a body of 2 MiB is hashed for eight times per secret at most, the nearest to our clock', async (t) => {
  const body = Buffer.alloc(2_097_152, 'x')
  const others = Array.from({ length: 180 }, (_, index) => `t=${SENT_AT - index - 1},v1=${'0'.repeat(64)}`)
  const good = signatureHeader({ body, secrets: [NEW.value], timestampSeconds: SENT_AT })
  const input = { body, secrets: [OLD, NEW], nowMs: SENT_AT * 1000, toleranceSeconds: 300 }
  const most = (header: string) => signatureVerification({ ...input, header }).next().value
  t.equal(most([...others, good].join(' ')), 16)
  t.equal(codeOf(verifySignature({ ...input, header: [...others, good].join(' ') })), 'OK')
})

t.test('the secret that matched tells the environment', async (t) => {
  t.match(verify(group(SANDBOX)), { ok: true, environment: 'sandbox' })
  t.match(verify(group(OLD)), { ok: true, environment: 'production' })
  t.equal(codeOf(verify(group(SANDBOX), { secrets: [NEW, OLD] })), 'SIGNATURE_MISMATCH')
  t.equal(codeOf(verify(group(NEW), { secrets: [] })), 'SIGNATURE_MISMATCH')
})

t.test('a rotation verifies whichever side changes first', async (t) => {
  const rotating = signatureHeader({ body: BODY, secrets: [NEW.value, OLD.value], timestampSeconds: SENT_AT })
  t.equal(rotating, `${group(NEW)} ${group(OLD)}`)
  for (const secrets of [[OLD], [NEW], [OLD, NEW], [SANDBOX, OLD]])
    t.equal(codeOf(verify(rotating, { secrets })), 'OK', secrets.map((secret) => secret.value).join())
  t.equal(codeOf(verify(group(OLD), { secrets: [NEW, OLD] })), 'OK', 'the provider has not changed yet')
})

t.test('the text of t is signed as received, not as a number printed anew', async (t) => {
  const padded = `00${SENT_AT}`
  t.match(verify(group(NEW, padded)), { ok: true, timestampSeconds: SENT_AT })
  t.equal(codeOf(verify(`t=${padded},v1=${DIGEST}`)), 'SIGNATURE_MISMATCH')
})

t.test('t may be as old as the tolerance and 300 seconds ahead, to the millisecond', async (t) => {
  const at = (nowMs: number) => codeOf(verify(group(NEW), { nowMs }))
  t.equal(at((SENT_AT + 300) * 1000), 'OK')
  t.equal(at((SENT_AT + 300) * 1000 + 1), 'SIGNATURE_TOO_OLD')
  t.equal(at((SENT_AT - 300) * 1000), 'OK')
  t.equal(at((SENT_AT - 300) * 1000 - 1), 'SIGNATURE_IN_FUTURE')
})

t.test('the 300 seconds ahead do not grow or shrink with the tolerance', async (t) => {
  for (const toleranceSeconds of [0, 60, 518_400]) {
    const at = (nowMs: number) =>
      codeOf(verifySignature({ header: group(NEW), body: BODY, secrets: [NEW], nowMs, toleranceSeconds }))
    t.equal(at((SENT_AT - 300) * 1000), 'OK')
    t.equal(at((SENT_AT - 301) * 1000), 'SIGNATURE_IN_FUTURE')
    t.equal(at((SENT_AT + toleranceSeconds) * 1000), 'OK')
    t.equal(at((SENT_AT + toleranceSeconds + 1) * 1000), 'SIGNATURE_TOO_OLD')
  }
})

t.test('a time out of tolerance is told only of a group that matches', async (t) => {
  const old = SENT_AT - 10_000
  t.strictSame(verify(group(SANDBOX, old)), {
    ok: false,
    code: 'SIGNATURE_TOO_OLD',
    environment: 'sandbox',
    timestampSeconds: old,
  })
  t.match(verify(group(NEW, 999_999_999_999)), { code: 'SIGNATURE_IN_FUTURE', timestampSeconds: 999_999_999_999 })
  t.equal(codeOf(verify(`t=${old},v1=${'0'.repeat(64)}`)), 'SIGNATURE_MISMATCH')
})

t.test('one group in time is enough beside others out of it', async (t) => {
  t.equal(codeOf(verify(`${group(NEW, 1)} ${group(OLD)}`)), 'OK')
  t.equal(codeOf(verify(`${group(OLD)} ${group(NEW, 999_999_999_999)}`)), 'OK')
  t.equal(codeOf(verify(`${group(NEW, 1)} t=${SENT_AT},v1=${'0'.repeat(64)}`)), 'SIGNATURE_TOO_OLD')
})

/** How many digests of the body a verification computes, and its verdict. */
function counted(header: string) {
  const input = { header, body: BODY, secrets: [NEW, OLD, SANDBOX], nowMs: SENT_AT * 1000, toleranceSeconds: 300 }
  const steps = signatureVerification(input)
  for (let digests = 0; ; digests += 1) {
    const step = steps.next()
    if (step.done === true) return { digests, code: codeOf(step.value) }
  }
}

t.test('the body is hashed once per distinct t and secret, whatever the number of groups', async (t) => {
  const bad = (index: number) => `t=${SENT_AT},v1=${String(index).repeat(64)}`
  const eight = Array.from({ length: 8 }, (_, index) => bad(index))
  t.strictSame(counted(eight.join(' ')), { digests: 3, code: 'SIGNATURE_MISMATCH' })
  t.strictSame(counted([...eight.slice(1), group(SANDBOX)].join(' ')), { digests: 3, code: 'OK' })
})

t.test('times in tolerance are verified first, of those out of it two at most', async (t) => {
  const bad = (timestamp: number) => `t=${timestamp},v1=${'0'.repeat(64)}`
  const old = [1, 2, 3, 4, 5, 6, 7].map(bad)
  t.strictSame(counted([...old, group(NEW)].join(' ')), { digests: 1, code: 'OK' })
  t.strictSame(counted(old.join(' ')), { digests: 6, code: 'SIGNATURE_MISMATCH' })
  t.strictSame(counted([bad(1), group(NEW, 2), ...old.slice(2)].join(' ')), { digests: 4, code: 'SIGNATURE_TOO_OLD' })
})

t.test('a header that no digest can match costs no digest of the body', async (t) => {
  for (const header of ['', 't=1', `t=${SENT_AT},v1=${'g'.repeat(64)}`, `v1=${DIGEST} `.repeat(200)])
    t.equal(counted(header).digests, 0, header.slice(0, 90))
})
