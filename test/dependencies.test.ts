import { readFileSync } from 'node:fs'
import t from 'tap'
import { dependencyPage, PAGE, productionDependencies } from './fixtures/dependency-page.ts'

/** Licences that ask for no more than a notice. Another one wants a decision before it is shipped. */
const PERMISSIVE = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'ISC', 'MIT', 'Unlicense']

t.test('docs/dependencies.md lists the production dependencies of each app', async (t) => {
  t.equal(readFileSync(PAGE, 'utf8'), dependencyPage(), 'run: pnpm docs:dependencies')
})

t.test('every licence is told and permissive', async (t) => {
  const dependencies = productionDependencies()
  t.ok(dependencies.length > 50)
  for (const { id, licence } of dependencies) t.ok(PERMISSIVE.includes(licence), `${id}: ${licence}`)
})

t.test('development tools are no production dependency', async (t) => {
  const names = productionDependencies().map(({ id }) => id.slice(0, id.lastIndexOf('@')))
  for (const tool of ['prisma', 'typescript', 'tap', 'esbuild', 'oxlint']) t.notOk(names.includes(tool), tool)
  for (const library of ['fastify', 'bullmq', 'pg']) t.ok(names.includes(library), library)
})
