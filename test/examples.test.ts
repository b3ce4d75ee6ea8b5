import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from './structure/source-files.ts'

t.test('each example has a section of the README and a test that runs it', async (t) => {
  const readme = readFileSync(join(root, 'examples/README.md'), 'utf8')
  const sections = [...readme.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)
  const names = readdirSync(join(root, 'examples/src')).map((file) => file.replace(/\.ts$/, ''))
  t.same(sections.toSorted(), names.toSorted())
  for (const name of names) {
    const test = join(root, `examples/test/integration/${name}.test.ts`)
    t.ok(existsSync(test) && readFileSync(test, 'utf8').includes(`'${name}'`), name)
  }
})
