import { KeyRing } from '@persona-ingest/core'
import { UnusableEventError } from '@persona-ingest/persona'
import { PrismaClientKnownRequestError } from '@prisma/client/runtime/client'
import { DriverAdapterError } from '@prisma/driver-adapter-utils'
import { DatabaseError } from 'pg'
import t from 'tap'
import { DecryptionError } from '../../src/sql/row-values.ts'
import {
  ConnectionError,
  failureOf,
  isOfPostgres,
  isUniqueViolation,
  readsAsOutage,
  sqlStateOf,
  UnsuitableSessionError,
  type FailureKind,
} from '../../src/sql/failure.ts'
import { aKey } from '../fixtures/some-keys.ts'

/** Stands in every text of PostgreSQL, which quotes values. */
const MARK = 'MARK'

type AdapterCause = ConstructorParameters<typeof DriverAdapterError>[0]

/** An error of the driver adapter, as it tells a SQLSTATE that it has no word for. */
function ofAdapter(originalCode: string, cause: object = {}): DriverAdapterError {
  const postgres = {
    kind: 'postgres',
    code: originalCode,
    severity: 'ERROR',
    message: MARK,
    detail: MARK,
    column: MARK,
  }
  return new DriverAdapterError({ ...postgres, originalCode, originalMessage: MARK, ...cause } as AdapterCause)
}

/** The same error within one of Prisma's client, as raw queries reject. */
function ofClient(driverAdapterError: DriverAdapterError): PrismaClientKnownRequestError {
  const meta = { driverAdapterError }
  return new PrismaClientKnownRequestError(MARK, { code: 'P2010', clientVersion: '7', meta })
}

/** The same SQLSTATE from pg itself, as maintenance connections get it. */
function ofPg(code: string): DatabaseError {
  return Object.assign(new DatabaseError(MARK, 1, 'error'), { code, severity: 'ERROR', detail: MARK, table: MARK })
}

/** An error of the system or of TLS, or of Prisma's client without an answer of PostgreSQL. */
const coded = (code: string): Error => Object.assign(new Error(MARK), { code })

const KINDS: Readonly<Record<Exclude<FailureKind, 'key'>, readonly string[]>> = {
  outage: `
    08000 08001 08003 08006 08P01 28000 28P01 3D000 3F000 53300 57P01 57P02 57P03 57P04 57P05
    42P01 42703 42883 26000 42P05 PI002`.match(/\w+/g) as string[],
  event: '22000 22001 22003 22007 22008 22021 22P02 22P05 23502 23503 23505 23514 54000 54001'.split(' '),
  unclear: `
    25006 25P02 40001 40P01 42501 42601 53000 53100 53200 53400 55P03 57014 0A000 P0001 PI001
    XX000 XX001 58030`.match(/\w+/g) as string[],
}

for (const [kind, states] of Object.entries(KINDS)) {
  t.test(`a SQLSTATE is ${kind} from the adapter, Prisma's client and pg, without PostgreSQL's text`, async (t) => {
    for (const sqlState of states) {
      for (const error of [ofAdapter(sqlState), ofClient(ofAdapter(sqlState)), ofPg(sqlState)]) {
        const failure = failureOf(error)
        t.match(failure, { kind, sqlState, key: undefined }, `${sqlState} ${error.name}`)
        t.ok(failure.description.endsWith(` (SQLSTATE ${sqlState})`), failure.description)
        t.notMatch(JSON.stringify(failure), MARK)
        t.equal(sqlStateOf(error), sqlState)
      }
    }
  })
}

t.test('a description says what is known of the SQLSTATE, or else of its class', async (t) => {
  const descriptions: Readonly<Record<string, RegExp>> = {
    '08P01': /pooler.*docs\/poolers\.md/,
    '22003': /^number out of the range/,
    '22P05': /^character that PostgreSQL cannot hold/,
    '23505': /^duplicate key/,
    '25006': /read-only/,
    '40P01': /^deadlock/,
    '42501': /lacks a right/,
    '42P01': /run db:migrate/,
    '53100': /^disk full/,
    '54001': /max_stack_depth/,
    '57014': /^statement timeout/,
    '57P01': /shutting down/,
    '08006': /^connection lost/,
    '22012': /^a value that PostgreSQL refuses/,
    '23P01': /^a constraint/,
    '28P01': /denied/,
    '53400': /out of a resource/,
    XX000: /^the database refuses/,
  }
  for (const [sqlState, description] of Object.entries(descriptions))
    t.match(failureOf(ofAdapter(sqlState)).description, description, sqlState)
})

t.test('errors that the adapter has words for keep their SQLSTATE', async (t) => {
  const causes: readonly (readonly [sqlState: string, kind: FailureKind, cause: object])[] = [
    ['22003', 'event', { kind: 'ValueOutOfRange', cause: MARK }],
    ['22P02', 'event', { kind: 'InvalidInputValue', message: MARK }],
    ['23505', 'event', { kind: 'UniqueConstraintViolation', constraint: { fields: [MARK] } }],
    ['40001', 'unclear', { kind: 'TransactionWriteConflict' }],
    ['28P01', 'outage', { kind: 'AuthenticationFailed', user: MARK }],
    ['3D000', 'outage', { kind: 'DatabaseDoesNotExist', db: MARK }],
    ['53300', 'outage', { kind: 'TooManyConnections', cause: MARK }],
  ]
  for (const [sqlState, kind, cause] of causes) {
    const failure = failureOf(ofAdapter(sqlState, cause))
    t.match(failure, { kind, sqlState })
    t.notMatch(JSON.stringify(failure), MARK)
  }
})

t.test('errors of the network that the adapter has words for are outages', async (t) => {
  const kinds = { DatabaseNotReachable: /ECONNREFUSED/, ConnectionClosed: /ECONNRESET/, SocketTimeout: /ETIMEDOUT/ }
  for (const [kind, description] of Object.entries(kinds)) {
    const error = new DriverAdapterError({ kind, host: MARK, port: 1 } as unknown as AdapterCause)
    for (const failure of [failureOf(error), failureOf(ofClient(error))]) {
      t.match(failure, { kind: 'outage', sqlState: null, description }, kind)
      t.notMatch(JSON.stringify(failure), MARK)
    }
  }
})

const CONNECTION_WORDS: Readonly<Record<string, RegExp>> = {
  ENOTFOUND: /no address/,
  EAI_AGAIN: /name service/,
  ECONNREFUSED: /no server listens/,
  ECONNRESET: /connection lost/,
  EPIPE: /connection lost/,
  ETIMEDOUT: /does not answer/,
  EHOSTUNREACH: /cannot be reached/,
  ENOENT: /socket .* not there/,
  EACCES: /socket .* may not be opened/,
  P2028: /transaction/,
  CERT_HAS_EXPIRED: /certificate has expired/,
  ERR_TLS_CERT_ALTNAME_INVALID: /another host/,
  DEPTH_ZERO_SELF_SIGNED_CERT: /CA that is not known.*sslrootcert/,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: /CA that is not known/,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: /CA that is not known/,
  EUNKNOWN: /^the database does not answer/,
}

t.test('an error of the network or of TLS is an outage, told by its code', async (t) => {
  for (const [code, words] of Object.entries(CONNECTION_WORDS)) {
    const several = Object.assign(new AggregateError([coded(code), coded('EOTHER')], MARK))
    for (const error of [coded(code), new ConnectionError(coded(code)), new ConnectionError(several), several]) {
      const failure = failureOf(error)
      t.match(failure, { kind: 'outage', sqlState: null, description: words }, `${code} ${error.name}`)
      t.ok(failure.description.endsWith(`(${code})`), failure.description)
      t.notMatch(JSON.stringify(failure), MARK)
    }
    t.equal(new ConnectionError(coded(code)).reason, code)
  }
})

t.test('a constant message of the driver is told in other words', async (t) => {
  const messages: Readonly<Record<string, RegExp>> = {
    'Query read timeout': /a statement got no answer in time/,
    'timeout exceeded when trying to connect': /no connection was free/,
    'timeout expired': /no connection was opened in time/,
    'Connection terminated due to connection timeout': /no connection was opened in time/,
    'Connection terminated unexpectedly': /connection lost/,
    'The server does not support SSL connections': /does not support TLS/,
    'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string': /DATABASE_URL has none/,
    'SASL: SCRAM-SERVER-FINAL-MESSAGE: server signature is missing': /do not agree/,
  }
  for (const [message, description] of Object.entries(messages)) {
    const error = new Error(message)
    for (const failure of [error, new ConnectionError(error), new Error(MARK, { cause: error })].map(failureOf))
      t.match(failure, { kind: 'outage', sqlState: null, description }, message)
  }
})

t.test('an error without a code or a known message is an outage and keeps its text to itself', async (t) => {
  const odd = [new Error(MARK), Object.assign(new Error(MARK), { code: `${MARK} with spaces` }), Object.assign(new Error(MARK), { code: 5 })] // prettier-ignore
  for (const error of [...odd, new ConnectionError(new Error(MARK)), MARK, { message: MARK }, {}, null, undefined, 5]) {
    const failure = failureOf(error)
    t.strictSame(failure, { kind: 'outage', sqlState: null, description: 'the database does not answer' })
  }
  t.equal(new ConnectionError(new Error(MARK)).reason, null)
})

t.test('an error of the program is unclear', async (t) => {
  for (const error of [new TypeError(MARK), new ReferenceError(MARK), new RangeError(MARK)]) {
    const failure = failureOf(error)
    t.match(failure, { kind: 'unclear', sqlState: null })
    t.notMatch(JSON.stringify(failure), MARK)
  }
})

t.test('a code without a severity is no SQLSTATE', async (t) => {
  for (const error of [coded('P2010'), coded('EPIPE'), coded('22003'), { code: '22003' }, null, undefined, MARK])
    t.equal(sqlStateOf(error), null)
  t.equal(sqlStateOf(new DriverAdapterError({ kind: 'SocketTimeout' })), null)
  t.notOk(isOfPostgres(coded('22003')))
  t.notOk(isOfPostgres(null))
  t.ok(isOfPostgres(ofPg('22003')))
})

t.test('an unreadable stored event is the fault of the event', async (t) => {
  t.match(failureOf(new UnusableEventError('INVALID_JSON')), { kind: 'event', sqlState: null })
})

t.test('a document that no key decrypts is a failure of the key, with its id', async (t) => {
  const keys = new KeyRing([aKey('here')])
  for (const [id, isHere] of [
    ['here', true],
    ['elsewhere', false],
  ] as const) {
    // prettier-ignore
    const failure = failureOf(new DecryptionError(['events', 'evt_1', 'payload'], id, keys))
    t.match(failure, { kind: 'key', sqlState: null, key: { id, isHere } })
    t.match(failure.description, 'payload of evt_1 in events')
  }
})

t.test('an unsuitable session is an outage in its own words', async (t) => {
  const failure = failureOf(new UnsuitableSessionError('a pooler answers'))
  t.strictSame(failure, { kind: 'outage', sqlState: null, description: 'a pooler answers' })
})

t.test('an outage, and a shortage that may pass, prove nothing against an event', async (t) => {
  const passing = ['25006', '40001', '40P01', '53000', '53100', '53200', '53400', '55P03', '57014', '57P01']
  for (const sqlState of [...passing, ...KINDS.outage]) t.ok(readsAsOutage(failureOf(ofAdapter(sqlState))), sqlState)
  t.ok(readsAsOutage(failureOf(coded('ECONNREFUSED'))))
  const telling = ['P0001', 'PI001', 'XX000', '0A000', '42601', '42501', '25P02', ...KINDS.event]
  for (const sqlState of telling) t.notOk(readsAsOutage(failureOf(ofAdapter(sqlState))), sqlState)
  t.notOk(readsAsOutage(failureOf(new TypeError(MARK))))
  t.notOk(readsAsOutage(failureOf(new DecryptionError(['events', 'e', 'payload'], 'a', new KeyRing([])))))
})

t.test('a duplicate key is told by its table or by the name of its primary key', async (t) => {
  const byTable = ofAdapter('23505', { kind: 'UniqueConstraintViolation', table: 'events' })
  const byIndex = ofAdapter('23505', { kind: 'UniqueConstraintViolation', constraint: { index: 'events_pkey' } })
  for (const error of [byTable, byIndex, ofClient(byTable), ofClient(byIndex)]) {
    t.ok(isUniqueViolation(error, 'events'))
    t.notOk(isUniqueViolation(error, 'objects'))
  }
  t.notOk(isUniqueViolation(ofAdapter('23502', { table: 'events' }), 'events'))
  t.notOk(isUniqueViolation(new Error(MARK), 'events'))
})
