/**
 * Runs the files of a layer with tap, and prints its slowest tests: `node test/run-layer.mjs [tap's options] <files>`.
 * Exits with the code of tap.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const tap = join(root, 'node_modules/.bin/tap')
const results = join(root, '.tap/test-results')
const shownCount = 20

/** Reads the times of the tests of a file, in milliseconds; in the parts of the unit tests they have many files. */
function testsOf(file) {
  const lines = readFileSync(file, 'utf8').split('\n')
  const found = lines.flatMap((line) => {
    const [, name, time] = /^(?:not )?ok \d+ - (.*) # time=([\d.]+)ms/.exec(line) ?? []
    return time === undefined ? [] : [{ name, ms: Number(time) }]
  })
  return found.map((test) => ({ ...test, file: relative(results, file).replace(/\.tap$/, '') }))
}

function printSlowest() {
  const files = readdirSync(results, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.tap'))
  const tests = files.flatMap((file) => testsOf(join(results, file))).toSorted((left, right) => right.ms - left.ms)
  const lines = tests
    .slice(0, shownCount)
    .map(({ ms, file, name }) => `${(ms / 1000).toFixed(1).padStart(6)} s  ${file}: ${name}`)
  process.stdout.write(`The slowest tests:\n${lines.join('\n')}\n`)
}

rmSync(results, { recursive: true, force: true })
mkdirSync(results, { recursive: true })
const built = spawnSync(tap, ['build'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
const ran =
  built.status === 0 ? spawnSync(tap, ['run', ...process.argv.slice(2)], { cwd: root, stdio: 'inherit' }) : built
if (ran === built) process.stderr.write('tap could not be built\n')
else printSlowest()
process.exitCode = ran.status ?? 1
