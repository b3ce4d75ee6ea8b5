import t from 'tap'
import { ConnectionError } from '@persona-ingest/database'
import { describeFailure, isAway } from '../../src/migrate.ts'

const ofPostgres = (code: string, message = 'words') => Object.assign(new Error(message), { code, severity: 'ERROR' })
const ofSystem = (code: string, syscall: string) => Object.assign(new Error('words'), { code, syscall })

t.test('what passes by itself is waited for', async (t) => {
  for (const state of ['08006', '25006', '40P01', '55P03', '53100', '53300', '57P01', '57P03'])
    t.ok(isAway(ofPostgres(state)), state)
  t.ok(isAway(ofSystem('ECONNREFUSED', 'connect')))
  t.ok(isAway(ofSystem('ECONNRESET', 'read')))
  t.ok(isAway(new ConnectionError(ofSystem('ECONNREFUSED', 'connect'))))
  t.ok(isAway(new ConnectionError(new Error('timeout expired'))))
  t.ok(isAway(ofSystem('EAI_AGAIN', 'getaddrinfo')))
  for (const code of ['P1001', 'P1017']) t.ok(isAway(Object.assign(new Error('words'), { code })), code)
  for (const words of [
    'Connection terminated unexpectedly',
    'timeout expired',
    'timeout exceeded when trying to connect',
    'ERROR: cannot execute CREATE TABLE in a read-only transaction\n   0: sql_schema_connector',
  ])
    t.ok(isAway(new Error(words)), words)
})

t.test('what somebody must mend is not', async (t) => {
  for (const state of ['28P01', '3D000', '42501', '42601', '42703', '42P01', '42P07', '23505', '57014'])
    t.notOk(isAway(ofPostgres(state)), state)
  t.notOk(isAway(ofSystem('ENOENT', 'open')), 'a file that is missing')
  t.notOk(isAway(ofPostgres('08P01')), 'a pooler that refuses how we connect')
  const untrusted = Object.assign(new Error('words'), { code: 'SELF_SIGNED_CERT_IN_CHAIN' })
  t.notOk(isAway(new ConnectionError(untrusted)), 'a certificate that is not trusted')
  for (const code of ['P3005', 'P3009', 'P3018']) t.notOk(isAway(Object.assign(new Error('words'), { code })), code)
  for (const thrown of [new TypeError('x is not a function'), null, undefined, 'text', {}]) t.notOk(isAway(thrown))
})

t.test('the words for the operator hold names, never values', async (t) => {
  t.equal(describeFailure(ofPostgres('42P07', 'relation "x" already exists')), 'relation "x" already exists (SQLSTATE 42P07)') // prettier-ignore
  t.notMatch(describeFailure(ofPostgres('22P02', 'invalid input syntax for type integer: "MARK"')), 'MARK')
  t.match(describeFailure(ofPostgres('22P02')), /SQLSTATE 22P02/)
  t.equal(describeFailure(new Error('The database schema is not empty.')), 'The database schema is not empty.')
})
