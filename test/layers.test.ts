import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from './structure/source-files.ts'
import { unitTests } from './together.ts'

const OTHER_LAYERS = /^(apps\/\w+|packages\/\w+|examples)\/test\/(property|integration|fault|fault\/alone)\//

t.test('each test file is in a layer that runs', async (t) => {
  const folders = ['apps', 'packages'].flatMap((kind) =>
    readdirSync(join(root, kind)).map((name) => `${kind}/${name}/test`),
  )
  const every = [...folders, 'examples/test', 'test'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`),
  )
  const files = every.filter((file) => file.endsWith('.test.ts'))
  const unit = unitTests()
  t.ok(unit.length > 100)
  t.strictSame(
    files.filter((file) => !unit.includes(file) && !OTHER_LAYERS.test(file)),
    [],
  )
})

t.test('the parts of the unit tests are all of them', async (t) => {
  t.strictSame(
    readdirSync(new URL('unit', import.meta.url)).toSorted(),
    ['part-1.ts', 'part-2.ts', 'part-3.ts', 'part-4.ts'], // prettier-ignore
  )
})
