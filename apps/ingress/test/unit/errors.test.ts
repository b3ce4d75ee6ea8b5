import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
// By path: the ingress must not depend on the room that knows PostgreSQL, and this file of it knows nothing.
import { deadLetterReasons } from '../../../../packages/database/src/dead-letters/dead-letter.ts'
import { quarantineReasons } from '@persona-ingest/persona'
import { queueFaults } from '@persona-ingest/queue'
import { errorDocument } from '../../src/http/errors.ts'
import { errors, IngressError, type IngressErrorCode } from '../../src/index.ts'

const page = readFileSync(resolve(import.meta.dirname, '../../../../docs/errors.md'), 'utf8')

/** The first cells of the table below a heading, without their code marks. */
function rowsBelow(heading: string): string[][] {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''
  const rows = section.split('\n').filter((line) => line.startsWith('| `'))
  return rows.map((row) => row.split('|').map((cell) => cell.trim().replaceAll('`', '')))
}

function codesBelow(heading: string): (string | undefined)[] {
  return rowsBelow(heading).map(([, code]) => code)
}

t.test('docs/errors.md lists the error table, both ways, with its statuses', async (t) => {
  const documented = Object.fromEntries(
    rowsBelow('Errors of the public port').map(([, code, status]) => [code, status]),
  )
  const inCode = Object.fromEntries(Object.entries(errors).map(([code, { status }]) => [code, String(status)]))
  t.same(documented, inCode)
})

t.test('docs/errors.md lists every quarantine reason, queue fault and dead letter reason, both ways', async (t) => {
  t.same(codesBelow('Quarantine reasons'), quarantineReasons)
  t.same(codesBelow('Queue faults'), Object.keys(queueFaults))
  t.same(codesBelow('Dead letter reasons'), deadLetterReasons)
})

t.test('an error document is JSON:API with the status as text', async (t) => {
  for (const code of Object.keys(errors) as IngressErrorCode[]) {
    const { title, detail, status } = errors[code]
    t.same(JSON.parse(errorDocument(code).toString()), { errors: [{ status: String(status), code, title, detail }] })
  }
})

t.test('an error carries its code, constant words and its cause', async (t) => {
  const cause = new Error('why')
  t.match(new IngressError('DRAINING', cause), { name: 'IngressError', code: 'DRAINING', cause })
  t.notOk('cause' in new IngressError('DRAINING'))
})
