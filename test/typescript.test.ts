import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { root } from './structure/source-files.ts'

t.test('an error in a TypeScript file names the line of the source', async (t) => {
  const program = join(root, 'test/fixtures/throws-in-line-four.ts')
  const options = ['--enable-source-maps', '--import=./test/typescript/register.mjs', program]
  const { status, stderr } = spawnSync(process.execPath, options, { cwd: root, encoding: 'utf8' })
  t.equal(status, 1)
  t.match(stderr, /throws-in-line-four\.ts:4\n[^]*Error: the types of this file\n +at .*throws-in-line-four\.ts:4:/)
})
