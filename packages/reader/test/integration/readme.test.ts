import { readFile } from 'node:fs/promises'
import t from 'tap'

const read = async (path: string) => readFile(new URL(`../../../../${path}`, import.meta.url), 'utf8')

t.test('the README shows the examples that tests run', async (t) => {
  const readme = await read('packages/reader/README.md')
  const shown = [...readme.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, program]) => program)
  const names = ['keep-decisions', 'post-changes', 'copy-statuses']
  t.strictSame(shown, await Promise.all(names.map((name) => read(`examples/src/${name}.ts`))))
})
