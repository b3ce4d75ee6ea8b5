import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from './structure/source-files.ts'

const page = readFileSync(join(root, 'docs/lifecycle.md'), 'utf8')
const metrics = readFileSync(join(root, 'docs/metrics.md'), 'utf8')

t.test('each source file that docs/lifecycle.md names exists', async (t) => {
  const files = [...page.matchAll(/`((?:apps|packages)\/[^`]+\.ts)`/g)].map(([, file]) => file as string)
  t.ok(files.length > 10)
  for (const file of files) t.ok(existsSync(join(root, file)), file)
})

t.test('each metric that docs/lifecycle.md names is in docs/metrics.md', async (t) => {
  const names = [...page.matchAll(/`(persona_[a-z_]+)`/g)].map(([, name]) => name as string)
  t.ok(names.length > 10)
  for (const name of names) t.ok(metrics.includes(`\`${name}\``), name)
})
