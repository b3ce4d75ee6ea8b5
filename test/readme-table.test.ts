import { readFileSync } from 'node:fs'
import t from 'tap'
import { eventRank } from '../packages/persona/src/last-write-wins.ts'
import { statusByEventName } from '../packages/persona/src/snapshot.ts'

t.test('the README names the rank and the status of every event name that has one', async (t) => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const rows = [...readme.matchAll(/^\| `([a-z.-]+)` +\| (\d) +\| (?:`([a-z_]+)`)? *\|$/gm)]
  t.equal(rows.length, 17)
  for (const [, name = '', rank, status] of rows) {
    const [family = ''] = name.split('.')
    t.equal(eventRank(name), Number(rank), name)
    t.equal(statusByEventName(name, family), status ?? null, name)
  }
  const source = readFileSync(new URL('../packages/persona/src/last-write-wins.ts', import.meta.url), 'utf8')
  t.equal([...source.matchAll(/^ {2}\['/gm)].length, rows.length, 'no ranked name is missing')
})
