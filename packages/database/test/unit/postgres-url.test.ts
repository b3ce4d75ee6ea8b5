import { join } from 'node:path'
import t from 'tap'
import { postgresUrlFaults } from '../../src/sql/postgres-url.ts'

t.test('what the driver takes passes', async (t) => {
  const folder = t.testdir({ 'ca.pem': 'a certificate' })
  for (const url of [
    'postgresql://u:p@h/db',
    'postgres://u:p@h:5432/db?sslmode=verify-full',
    'postgresql://u:p@/db?host=/cloudsql/project:region:instance',
    'postgresql://u:p@%2Frun%2Fpostgresql/db',
    'postgresql://u:p@[::1]:5432/db',
    'postgresql://u:50%@h/db',
    'postgresql://u:p%40%2F%3F%23%25@h/db',
    'postgresql://u@h/db?options=-c%20search_path%3Delsewhere',
    'postgresql://u:p@h/db?sslmode=require&channel_binding=require',
    'postgresql://u:p@h/db?schema=public&connection_limit=5&pgbouncer=true',
    `postgresql://u:p@h/db?sslmode=verify-full&sslrootcert=${join(folder, 'ca.pem')}`,
  ])
    t.strictSame(postgresUrlFaults(url), [], url)
})

t.test('what would be passed over, or lead elsewhere, is refused by name and without values', async (t) => {
  const cases: readonly (readonly [url: string, fault: RegExp])[] = [
    ['mysql://u:MARK@h/db', /begins with postgresql:/],
    ['postgresql://u:p@h/db?schema=MARK', /parameter schema: expected public/],
    ['postgresql://u:p@h/db?dbname=MARK', /unknown parameter dbname/],
    ['postgresql://u:p@h/db?currentSchema=MARK', /unknown parameter currentSchema/],
    ['postgresql://u:p@h/db?max=MARK', /unknown parameter max/],
    ['postgresql://u:p@h/db?sslmode=MARK', /parameter sslmode: expected one of/],
    ['postgresql://u:p@h/db?sslmode=verify-full&sslrootcert=/no/MARK.pem', /can't be read \(ENOENT\)/],
    ['postgresql://u:p@MARK1,MARK2/db', /several hosts/],
    ['postgresql://u:p@/db?host=MARK/dir', /begins with \//],
    ['postgresql://u:p@h/db?port=MARK', /parameter port: expected a port/],
    ['postgresql://u:p@h/db?port=99999', /port up to 65535/],
    ['postgresql://u:MARK#1@h/db', /percent-encoded/],
    ['postgresql://u:MARK/1@h/db', /percent-encoded/],
    ['postgresql://u:12/34@h/db', /percent-encoded/],
    ['postgresql://u:12?34@h/db', /percent-encoded/],
    ['postgresql://u:MARK%ff@h/db', /percent-encoded/],
    ['postgresql://u:MA RK@h/db', /percent-encoded/],
  ]
  for (const [url, fault] of cases) {
    const faults = postgresUrlFaults(url)
    t.match(faults.join('\n'), fault, url)
    t.notMatch(faults.join('\n'), 'MARK', url)
  }
  const both = postgresUrlFaults('postgresql://u:p@a,b/db?schema=x&sslmode=y')
  t.equal(both.length, 3, 'all faults at once')
})
