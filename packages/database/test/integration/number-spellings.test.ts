import t from 'tap'
import { eraseTargets, findErasureTargets, openDatabase, encryptStored, storeEvents } from '../../src/index.ts'
import { aDatabase, read } from '../fixtures/a-database.ts'
import { anEvent, anObject, rawBody, related } from '../fixtures/an-event.ts'
import { linesOf, rebuilt, verified } from '../fixtures/rebuilt.ts'
import { UnusableEventError } from '@persona-ingest/persona'
import { aKey } from '../fixtures/some-keys.ts'

const database = await aDatabase(t)
const { sql, deliver, url } = database
t.beforeEach(() => database.empty())

/** Spellings of numbers, and what a text column holds of them: what jsonb prints. */
const SPELLINGS = {
  '1e2': '100', '1E2': '100', '1E+2': '100', '-0': '0', '-0.0': '0.0', '-0e5': '0', '0e-3': '0.000', '100e-2': '1.00',
  '0.1e1': '1', '1.0': '1.0', '1.50': '1.50', '1.50e1': '15.0', '-1.5e-7': '-0.00000015', '1e-7': '0.0000001',
  '1e+21': `1${'0'.repeat(21)}`, '1e400': `1${'0'.repeat(400)}`, '9007199254740993': '9007199254740993',
  '12345678901234567890e1': '123456789012345678900', '0.00e0': '0.00', '5': '5', '1e131071': `1${'0'.repeat(131_071)}`,
} // prettier-ignore
const spellings = Object.keys(SPELLINGS)

/** An event of which every text column and attribute gets a number. */
function bodyWith(number: string, at: number): Buffer {
  const raw = `<<${number}>>`
  const attributes = { 'reference-id': raw, 'country-code': raw, tags: [raw, 'a', raw], note: raw, checks: [raw] }
  const relationships = { account: related(['account', `act_${at}`]) }
  const data = anObject('inquiry', `inq_${at}`, { attributes: { ...attributes, fields: { a: raw } }, relationships })
  const included = [
    anObject('verification/selfie', `ver_${at}`, { attributes }),
    anObject('account', `act_${at}`, { attributes }),
    { ...anObject('x', `odd_${at}`, { attributes }), type: raw },
  ]
  return rawBody(anEvent({ id: `evt_${at}`, data, included }))
}

const columnsSql = `
SELECT i.reference_id, i.tags, v.country_code, r.type FROM inquiries i
JOIN verifications v ON v.id = replace(i.id, 'inq', 'ver') JOIN resources r ON r.id = replace(i.id, 'inq', 'odd')
ORDER BY replace(i.id, 'inq_', '')::int`

t.test('a number in a text column is what jsonb prints, and a rebuild finds it again', async (t) => {
  await deliver(...spellings.map((number, at) => ({ body: bodyWith(number, at) })))
  const rows = await sql(columnsSql)
  Object.values(SPELLINGS).forEach((text, at) => {
    const expected = { reference_id: text, tags: [text, 'a', text], country_code: text, type: text }
    t.strictSame(rows[at], expected, String(spellings[at]))
  })
  t.strictSame(linesOf(await verified(url)), [])
  await sql(`UPDATE inquiries SET reference_id = NULL, tags = '{}'`)
  await rebuilt(url)
  t.strictSame(await sql(columnsSql), rows)
})

t.test('so it is where what is stored is encrypted, from the start or later', async (t) => {
  const encryptionKeys = [aKey('a')]
  const client = openDatabase({ url, encryptionKeys, connections: 2 })
  t.teardown(() => client.close())
  await storeEvents(client, spellings.slice(0, 9).map((number, at) => read({ body: bodyWith(number, at) }))) // prettier-ignore
  await deliver(...spellings.slice(9).map((number, at) => ({ body: bodyWith(number, at + 9) })))
  await encryptStored({ databaseUrl: url, encryptionKeys })
  t.strictSame(linesOf(await verified(url, { encryptionKeys })), [])
  const rows = await sql(columnsSql)
  t.strictSame(
    rows.map((row) => row['reference_id']),
    Object.values(SPELLINGS),
  )
  const targets = await findErasureTargets(client, '9007199254740993')
  const at = spellings.indexOf('9007199254740993')
  t.match(
    targets,
    { inquiryIds: [`inq_${at}`], accountIds: [`act_${at}`] },
    'no digit of an encrypted number is rounded',
  )
})

t.test('a person whose reference id is a number is found by what the row shows', async (t) => {
  for (const [at, number] of ['1e2', '-0', '12345678901234567890'].entries()) {
    await deliver({ body: bodyWith(number, at) })
    const text = ['100', '0', '12345678901234567890'][at] ?? ''
    const targets = await findErasureTargets(database.opened, text)
    t.match(targets, { inquiryIds: [`inq_${at}`], accountIds: [`act_${at}`] }, number)
    if (targets !== null) await eraseTargets(database.opened, targets, { isDryRun: false, nowMs: Date.now() })
  }
  t.strictSame(await sql('SELECT 1 FROM inquiries WHERE reference_id IS NOT NULL'), [])
  t.strictSame(linesOf(await verified(url)), [])
})

t.test('numbers that jsonb would print over 4,000,000 digits of are refused before they are stored', async (t) => {
  const withNumbers = (id: string, numbers: readonly string[]) => {
    const attributes = { status: 'created', note: numbers.map((number) => `<<${number}>>`), text: '1e131071' }
    return rawBody(anEvent({ id, data: anObject('inquiry', 'inq_1', { attributes }) }))
  }
  const many = (number: string, count: number) => Array.from({ length: count }, () => number)
  for (const [number, most] of [
    ['1e131071', 30],
    ['1e+308', 12_000],
    ['1e-16383', 244],
    ['1e200000', 100_000],
  ] as const) {
    const id = `evt_${number.replace(/[^\w-]/, '_')}`
    t.doesNotThrow(() => read({ body: withNumbers(id, many(number, most)) }), number)
    if (number === '1e200000') continue
    const tooMany = withNumbers(id, many(number, most + most))
    t.throws(() => read({ body: tooMany }), new UnusableEventError('NUMBERS_TOO_LONG'), number)
    await deliver({ body: withNumbers(id, many(number, most)) })
    t.ok((await sql(`SELECT payload::text FROM events WHERE id = '${id}'`)).length, 'the log gives it back')
  }
  t.strictSame(linesOf(await verified(url)), [])
})
