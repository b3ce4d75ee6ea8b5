/* `pnpm bench [question ...]`: answers the questions, prints tables, and keeps everything in bench/results. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Table from 'cli-table3'
import { ack } from './ack.ts'
import { cost } from './cost.ts'
import { feed } from './feed.ts'
import { growth } from './growth.ts'
import { describeMachine } from './harness/machine.ts'
import type { Answer, Question, Table as Results } from './harness/question.ts'
import { hostile } from './hostile.ts'
import { hot } from './hot.ts'
import { reader } from './reader.ts'
import { rebuild } from './rebuild.ts'
import { soak } from './soak.ts'
import { store } from './store.ts'
import { workers } from './workers.ts'

const questions: readonly Question[] = [ack, store, cost, hot, workers, hostile, feed, reader, growth, rebuild, soak]
/** Half an hour and more, and a million events: by name only. */
const ON_DEMAND = new Set(['growth', 'rebuild', 'soak'])
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 3)
const shorter = Number(process.env['BENCH_SHORTER'] ?? 1)

function chosen(names: readonly string[]): readonly Question[] {
  const unknown = names.filter((name) => !questions.some((question) => question.name === name))
  if (unknown.length > 0) {
    console.error(`Unknown: ${unknown.join(', ')}. The questions are:`)
    for (const { name, summary } of questions) console.error(`  ${name.padEnd(8)} ${summary}`)
    process.exit(2)
  }
  return names.length === 0
    ? questions.filter(({ name }) => !ON_DEMAND.has(name))
    : questions.filter(({ name }) => names.includes(name))
}

function print({ title, columns, rows }: Results): void {
  const table = new Table({ head: [...columns], style: { head: [], border: [] } })
  table.push(...rows.map((row) => [...row]))
  console.log(`\n${title}\n${table.toString()}`)
}

async function keep(question: Question, answer: Answer): Promise<string> {
  const folder = join(import.meta.dirname, 'results')
  await mkdir(folder, { recursive: true })
  const file = join(folder, `${question.name}.json`)
  const machine = await describeMachine()
  await writeFile(file, JSON.stringify({ question: question.summary, rounds, shorter, machine, ...answer }, null, 2))
  return file
}

for (const question of chosen(process.argv.slice(2))) {
  console.error(`${question.name}: ${question.summary}`)
  const answer = await question.answer({ rounds, shorter, say: (line) => console.error(`  ${line}`) })
  for (const table of answer.tables) print(table)
  console.log(`\nkept in ${await keep(question, answer)}`)
}
