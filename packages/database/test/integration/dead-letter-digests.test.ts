import { KeyRing } from '@persona-ingest/core'
import { createHash } from 'node:crypto'
import t from 'tap'
import {
  eraseTargets,
  findErasureTargets,
  openDatabase,
  readReplayableDeadLetters,
  removeUnkeyedDigests,
  encryptStored,
  storeDeadLetter,
  storeEvents,
} from '../../src/index.ts'
import { decryptBytes, encryptBytes } from '../../src/sql/row-values.ts'
import { aDatabase, read, RECEIVED_AT_MS } from '../fixtures/a-database.ts'
import { anEvent, anObject, bodyOf } from '../fixtures/an-event.ts'
import { linesOf, verified } from '../fixtures/rebuilt.ts'
import { aKey } from '../fixtures/some-keys.ts'

const database = await aDatabase(t)
const { url, sql, row } = database
const [a, b] = [aKey('a'), aKey('b')]
t.beforeEach(() => database.empty())

function opened(...encryptionKeys: readonly string[]) {
  const client = openDatabase({ url, encryptionKeys, connections: 4 })
  t.teardown(() => client.close())
  return client
}
const [withNone, withA, withB, withAB, withBA] = [opened(), opened(a), opened(b), opened(a, b), opened(b, a)]

const bytes = Buffer.from('{"id": "inq_1", "birthdate": "1980-02-03"')
const sha256 = (body: Uint8Array) => createHash('sha256').update(body).digest()
const deadLetter = {
  eventId: null,
  environment: 'production',
  reason: 'INVALID_JSON',
  error: 'the body is no usable event',
  body: bytes,
  receivedAtMs: RECEIVED_AT_MS,
  attempts: 0,
} as const
const event = bodyOf(anEvent({ data: anObject('inquiry', 'inq_1', { attributes: { 'name-first': 'Zoe' } }) }))
const failed = { ...deadLetter, eventId: 'evt_1', reason: 'VALUE_REFUSED', attempts: 1, body: event }

const deadLetters = (columns: string) => sql(`SELECT ${columns} FROM dead_letters ORDER BY id`)
/** Whether the unkeyed digest of a body stands anywhere in the rows of dead letters, or in a body of them. */
async function holdsPlainDigest(body: Uint8Array, ...keys: readonly string[]): Promise<boolean> {
  const texts = await sql('SELECT row_to_json(dead_letters)::text AS text FROM dead_letters')
  const stored = await deadLetters('body, body_sha256')
  const bodies = stored.map(({ body: kept, body_sha256: name }) =>
    Buffer.from(
      decryptBytes(kept as Buffer, ['dead_letters', (name as Buffer).toString('hex'), 'body'], new KeyRing(keys)),
    ),
  )
  const hex = sha256(body).toString('hex')
  return [...texts.map(({ text }) => String(text)), ...bodies.map(String)].some((text) => text.includes(hex))
}
const redacted = read({ body: bodyOf(anEvent({ id: 'evt_9', name: 'inquiry.redacted', createdAt: '2026-02-03T11:00:00.000Z', data: anObject('inquiry', 'inq_1') })) }) // prettier-ignore
const older = { databaseUrl: url }

t.test('no digest that tells a body without a key stands in a letter', async (t) => {
  for (const [client, keyId] of [
    [withNone, null],
    [withA, 'a'],
    [withBA, 'b'],
  ] as const) {
    await database.empty()
    await storeDeadLetter(client, deadLetter)
    await storeDeadLetter(client, failed)
    for (const body of [bytes, event]) t.notOk(await holdsPlainDigest(body, a, b))
    t.strictSame(await deadLetters('digest_key_id, octet_length(body_digest) AS length'), [
      { digest_key_id: keyId, length: 32 },
      { digest_key_id: keyId, length: 32 },
    ])
  }
})

t.test('each installation has a digest key of its own, which it keeps', async (t) => {
  const { digest_key: key } = await row('SELECT digest_key FROM ingest_state')
  t.equal((key as Buffer).byteLength, 32)
  await storeDeadLetter(withNone, deadLetter)
  const expected = new KeyRing([]).digest('dead letter body', bytes, key as Buffer).bytes
  t.ok(expected.equals((await row('SELECT body_digest FROM dead_letters'))['body_digest'] as Buffer))
})

t.test('a redaction removes the digest with what it removes from the body', async (t) => {
  for (const client of [withNone, withA]) {
    await database.empty()
    await storeDeadLetter(client, deadLetter)
    await storeDeadLetter(client, failed)
    await storeEvents(client, [redacted])
    // What arrives after the redaction has none either, and is one dead letter though the worker repeats its write.
    for (let times = 0; times < 2; times += 1) await storeDeadLetter(client, { ...deadLetter, body: Buffer.from(`${bytes.toString()} `), receivedAtMs: 1 }) // prettier-ignore
    t.strictSame(
      await deadLetters('body_digest, digest_key_id'),
      Array.from({ length: 3 }, () => ({ body_digest: null, digest_key_id: null })),
    )
    for (const body of [bytes, event]) t.notOk(await holdsPlainDigest(body, a))
    const page = await readReplayableDeadLetters(client, { reason: null }, { after: '0', nowMs: RECEIVED_AT_MS })
    t.strictSame(page.map(({ verdict }) => verdict), ['erased', 'usable', 'erased']) // prettier-ignore
    t.strictSame(linesOf(await verified(url, { encryptionKeys: client === withA ? [a] : [] })), [])
  }
})

t.test('an erasure of a letter that names no object removes its digest', async (t) => {
  const body = Buffer.from('{"reference": "ref-7", "birthdate": "1980-02-03"')
  await storeDeadLetter(withA, { ...deadLetter, body })
  const targets = await findErasureTargets(withA, 'ref-7')
  if (targets === null) return t.fail('nothing found')
  await eraseTargets(withA, targets, { isDryRun: false, nowMs: RECEIVED_AT_MS })
  t.strictSame(await deadLetters('body_digest'), [{ body_digest: null }])
  t.notOk(await holdsPlainDigest(body, a))
})

t.test('equal bytes are one letter while keys are set and rotated', async (t) => {
  for (const client of [withNone, withA, withAB, withBA, withB]) await storeDeadLetter(client, deadLetter)
  t.strictSame(await deadLetters('digest_key_id'), [{ digest_key_id: 'b' }])
  await encryptStored({ databaseUrl: url, encryptionKeys: [a, b] })
  t.strictSame(await deadLetters('digest_key_id'), [{ digest_key_id: 'a' }])
  await storeDeadLetter(withA, deadLetter)
  t.equal((await deadLetters('id')).length, 1)
})

t.test('equal bytes at the same time are one letter, under whichever keys', async (t) => {
  const clients = [withAB, withBA, withNone, withA, withB]
  await Promise.all(
    Array.from({ length: 30 }, async (_, index) => storeDeadLetter(clients[index % 3] ?? withNone, deadLetter)),
  )
  const found = await deadLetters('id')
  t.ok(found.length <= 2, 'without keys the letters of those with keys are not found, nor need be')
  await database.empty()
  await Promise.all(
    Array.from({ length: 30 }, async (_, index) => storeDeadLetter(clients[index % 2] ?? withNone, deadLetter)),
  )
  t.equal((await deadLetters('id')).length, 1)
})

t.test('`seal` writes digests under the newest key, and makes one letter of equal bytes', async (t) => {
  await storeDeadLetter(withNone, failed)
  await storeDeadLetter(withA, deadLetter)
  await sql(`UPDATE dead_letters SET state = 'discarded' WHERE event_id IS NULL`)
  await storeDeadLetter(withB, deadLetter)
  await sql(`UPDATE dead_letters SET state = 'discarded' WHERE digest_key_id = 'b'`)
  await sql(`UPDATE dead_letters SET state = 'open' WHERE digest_key_id = 'a'`)
  t.match(await encryptStored({ databaseUrl: url, encryptionKeys: [b, a] }), { 'dead_letters.body': 2 })
  t.strictSame(await deadLetters('event_id, state, digest_key_id'), [
    { event_id: 'evt_1', state: 'open', digest_key_id: 'b' },
    { event_id: null, state: 'open', digest_key_id: 'b' },
  ])
  t.match(await encryptStored({ databaseUrl: url, encryptionKeys: [b, a] }), { 'dead_letters.body': 0 })
  await storeDeadLetter(withB, deadLetter)
  await storeDeadLetter(withB, failed)
  t.equal((await deadLetters('id')).length, 2)
})

/** What a worker of the version before does. */
async function storedByOlderWorker(body: Buffer, eventId: string | null, ...keys: readonly string[]): Promise<void> {
  const digest = sha256(body)
  const sealed = encryptBytes(body, ['dead_letters', digest.toString('hex'), 'body'], new KeyRing(keys))
  const conflict = eventId === null ? '(body_sha256) WHERE event_id IS NULL' : '(event_id)'
  await sql(
    `INSERT INTO dead_letters AS stored (event_id, environment, reason, error, body, body_sha256, object_ids, received_at,
      failed_at, attempts, state) VALUES ($1, 'production', 'INVALID_JSON', 'x', $2, $3, '{inq_1}', now(), now(), 0, 'open')
    ON CONFLICT ${conflict} DO UPDATE SET body = excluded.body, body_sha256 = excluded.body_sha256, failed_at = excluded.failed_at`,
    [eventId, Buffer.from(sealed), digest],
  )
}

for (const keys of [[], [a]]) {
  t.test(`dead letters of an older version lose their unkeyed digests, ${keys.length} keys`, async (t) => {
    const client = keys.length === 0 ? withNone : withA
    const maintenance = { ...older, encryptionKeys: keys }
    await storedByOlderWorker(bytes, null, ...keys)
    await storedByOlderWorker(event, 'evt_1', ...keys)
    const emptied = Buffer.from(JSON.stringify({ sha256: sha256(Buffer.from('gone')).toString('hex') }))
    await storedByOlderWorker(Buffer.from('gone'), null, ...keys)
    const place = ['dead_letters', sha256(Buffer.from('gone')).toString('hex'), 'body'] as const
    await sql('UPDATE dead_letters SET body = $1 WHERE body_sha256 = $2', [
      Buffer.from(encryptBytes(emptied, place, new KeyRing(keys))),
      sha256(Buffer.from('gone')),
    ])
    await storeDeadLetter(client, deadLetter)
    t.equal((await deadLetters('id')).length, 3, 'equal bytes are found')
    t.strictSame(await removeUnkeyedDigests(client, maintenance), { refreshed: 2, undecryptableIds: [] })
    t.strictSame(await removeUnkeyedDigests(client, maintenance), { refreshed: 0, undecryptableIds: [] })
    for (const body of [bytes, event, Buffer.from('gone')]) t.notOk(await holdsPlainDigest(body, ...keys))
    t.strictSame(await deadLetters('body_digest IS NULL AS erased'), [
      { erased: false },
      { erased: false },
      { erased: true },
    ])
    for (const each of [deadLetter, failed]) await storeDeadLetter(client, each)
    t.equal((await deadLetters('id')).length, 3)
    const page = await readReplayableDeadLetters(client, { reason: null }, { after: '0', nowMs: RECEIVED_AT_MS })
    t.strictSame(page.map(({ verdict }) => verdict), ['unusable', 'usable', 'erased']) // prettier-ignore
  })
}

t.test('an older worker goes on beside newer ones', async (t) => {
  await storeDeadLetter(withA, deadLetter)
  await storeDeadLetter(withA, failed)
  await storedByOlderWorker(bytes, null, a)
  await storedByOlderWorker(event, 'evt_1', a)
  t.equal((await deadLetters('id')).length, 3, 'it does not find the same bytes')
  await removeUnkeyedDigests(withA, { ...older, encryptionKeys: [a] })
  t.equal((await deadLetters('id')).length, 2, 'they are one letter again')
  for (const body of [bytes, event]) t.notOk(await holdsPlainDigest(body, a))
})

t.test('a letter that no key opens is named, the others lose their unkeyed digests', async (t) => {
  await storedByOlderWorker(bytes, null, b)
  await storedByOlderWorker(event, 'evt_1', a)
  const { id } = await row('SELECT id::text AS id FROM dead_letters WHERE event_id IS NULL')
  const keys = { ...older, encryptionKeys: [a] }
  t.strictSame(await removeUnkeyedDigests(withA, keys), { refreshed: 1, undecryptableIds: [id] })
  await t.rejects(encryptStored(keys), {
    name: 'UndecryptableDeadLettersError',
    message: new RegExp(`among them ${String(id)}$`),
  })
})

t.test('a body that an older worker reduces keeps no digest', async (t) => {
  await storeDeadLetter(withNone, deadLetter)
  await sql(`UPDATE dead_letters SET body = $1, object_ids = '{}'`, [Buffer.from('{}')])
  t.strictSame(await deadLetters('body_digest, digest_key_id, digest_of'), [
    { body_digest: null, digest_key_id: null, digest_of: null },
  ])
  await removeUnkeyedDigests(withNone, { ...older, encryptionKeys: [] })
  t.strictSame(await deadLetters('body_digest, digest_of = body_sha256 AS is_new'), [
    { body_digest: null, is_new: true },
  ])
})

t.test('a reduced letter leaves the whole body of an older worker with its time and reason', async (t) => {
  await storeEvents(withNone, [redacted])
  await storedByOlderWorker(bytes, null)
  await sql('UPDATE dead_letters SET received_at = $1', [new Date(RECEIVED_AT_MS)])
  await storeDeadLetter(withNone, { ...deadLetter, body: Buffer.from(`${bytes.toString()} `) })
  const bodies = (await deadLetters('body')).map(({ body }) => String(body))
  t.equal(bodies.length, 2)
  t.equal(bodies[0], bytes.toString())
})

t.test('each reduced letter of one time and reason has its body, each once', async (t) => {
  for (const keys of [[], [a]]) {
    const client = keys.length === 0 ? withNone : withA
    await database.empty()
    await storeEvents(client, [redacted])
    const at = (hour: number) =>
      bodyOf(anEvent({ createdAt: `2026-02-03T0${hour}:00:00.000Z`, data: anObject('inquiry', 'inq_1', { attributes: { 'name-first': 'Zoe' } }) })) // prettier-ignore
    for (const environment of ['production', 'sandbox'] as const)
      for (const body of [at(7), at(8), bytes, at(7), at(8), bytes])
        await storeDeadLetter(client, { ...deadLetter, environment, body })
    const names = ['2026-02-03T07:00:00.000Z', '2026-02-03T08:00:00.000Z', 'erased']
    const stored = await deadLetters('environment, body, body_sha256')
    const found = stored.map(({ environment, body, body_sha256: name }) => {
      const place = ['dead_letters', (name as Buffer).toString('hex'), 'body'] as const
      const text = String(Buffer.from(decryptBytes(body as Buffer, place, new KeyRing(keys))))
      return [environment, ...names.filter((each) => text.includes(each))]
    })
    t.strictSame(found, ['production', 'sandbox'].flatMap((environment) => names.map((name) => [environment, name]))) // prettier-ignore
    t.strictSame(linesOf(await verified(url, { encryptionKeys: keys })), [])
  }
})
