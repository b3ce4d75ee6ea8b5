import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errors } from '@persona-ingest/ingress'
import { endpointFaults } from '@persona-ingest/notifier'
import { quarantineReasons } from '@persona-ingest/persona'
import { queueFaults } from '@persona-ingest/queue'
import t from 'tap'
import { deadLetterReasons } from '../packages/database/src/dead-letters/dead-letter.ts'
import { readSources, root } from './structure/source-files.ts'

const page = readFileSync(join(root, 'docs/errors.md'), 'utf8')

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
  t.same(codesBelow('Failures of notifications'), Object.keys(endpointFaults))
})

t.test('docs/errors.md lists the codes of all other coded errors, both ways', async (t) => {
  const packages = ['core', 'database', 'reader', 'operations']
  const codes = readSources()
    .filter(({ path }) => packages.some((name) => path.startsWith(`packages/${name}/src/`)))
    .flatMap(({ path }) => {
      const text = readFileSync(join(root, path), 'utf8')
      const own = [...text.matchAll(/extends CodedError<'(\w+)'>/g)].map(([, code]) => code)
      const faults = /operationFaults\b[^{]*\{([^}]*)\}/.exec(text)?.[1] ?? ''
      return [...own, ...[...faults.matchAll(/^ *([A-Z_]+):/gm)].map(([, code]) => code)]
    })
  t.same(new Set(codesBelow('Errors of commands and processes')), new Set(codes))
})
