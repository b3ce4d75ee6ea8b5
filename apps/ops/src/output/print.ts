import { isMembers } from '@persona-ingest/operations'
import { stringifyExact, type JsonValue } from '@persona-ingest/persona'
import Table from 'cli-table3'
import { printable, type Output } from './output.ts'

/** The value of a cell; null and undefined are shown as a dash. */
export type Cell = string | number | boolean | Date | null | undefined

/** No lines between columns, so that `cut` and `awk` can split a table. */
const NO_LINES = Object.fromEntries(
  ['top', 'bottom', 'left', 'right'].flatMap((side) =>
    [side, `${side}-mid`, `${side}-left`, `${side}-right`].map((place) => [place, '']),
  ),
)
const CHARS = { ...NO_LINES, mid: '', 'mid-mid': '', middle: '' }

function cellText(cell: Cell): string {
  if (cell === null || cell === undefined) return '-'
  return printable(cell instanceof Date ? cell.toISOString() : String(cell))
}

/** The library passes all rows of a table as arguments of one call; the stack limits their number. */
const MAX_ROWS = 10_000

function print(output: Output, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const style = { 'padding-left': 0, 'padding-right': 2, head: [], border: [] }
  for (let at = 0; at === 0 || at < rows.length; at += MAX_ROWS) {
    const table = new Table({ chars: CHARS, style, head: [...head] })
    for (const row of rows.slice(at, at + MAX_ROWS)) table.push([...row])
    const lines = table.toString().split('\n')
    output.write(`${lines.map((line) => line.trimEnd()).join('\n')}\n`)
  }
}

/** Prints rows under a head; above 10,000 rows as several tables. */
export function printTable(output: Output, head: readonly string[], rows: readonly (readonly Cell[])[]): void {
  const { bold, dim } = output.colors
  const styled = (cell: Cell) => (cell === null || cell === undefined ? dim('-') : cellText(cell))
  print(
    output,
    head.map((name) => bold(name)),
    rows.map((row) => row.map(styled)),
  )
}

/** Prints some columns of rows under their names. */
export function printColumns<Row extends object>(
  output: Output,
  rows: readonly Row[],
  columns: readonly (keyof Row & string)[],
): void {
  printTable(
    output,
    columns,
    rows.map((row) => columns.map((column) => row[column] as Cell)),
  )
}

/** A line of a table whose rows come one by one; a cell that is longer than its column moves the rest of its line. */
export function rowLine(cells: readonly Cell[], widths: readonly number[]): string {
  const padded = cells.map((cell, column) => cellText(cell).padEnd(widths[column] ?? 0))
  return `${padded.join('  ').trimEnd()}\n`
}

/** Prints pairs of name and value, a line for each. */
export function printPairs(output: Output, pairs: readonly (readonly [name: string, cell: Cell])[]): void {
  if (pairs.length === 0) return
  const rows = pairs.map(([name, cell]) => [output.colors.dim(printable(name)), cellText(cell)])
  print(output, [], rows)
}

/** Prints the heading of a section, after an empty line. */
export function printHeading(output: Output, heading: string): void {
  output.write(`\n${output.colors.bold(printable(heading))}\n`)
}

/** The JSON text of a document: dates as ISO 8601 in milliseconds, numbers digit by digit. */
function jsonText(document: unknown): string {
  // The exact writer takes a Date as JSON.stringify does. JSON escapes C0 controls itself, `printable` the rest.
  return printable(stringifyExact(document as JsonValue))
}

/** One JSON document on one line. */
export function jsonLine(document: unknown): string {
  return `${jsonText(document)}\n`
}

/** Prints one JSON document on one line: all that a command with `--json` writes to stdout. */
export function printJson(output: Output, document: unknown): void {
  output.write(jsonLine(document))
}

const MAX_INLINE_CHARACTERS = 100
/** Parts at a greater depth are not split: a path of a thousand keys is not readable. */
const MAX_SPLIT_DEPTH = 20

function membersOf(value: unknown, path: string): readonly (readonly [path: string, member: unknown])[] | null {
  if (Array.isArray(value)) return value.map((item: unknown, index) => [`${path}[${index}]`, item])
  if (!isMembers(value)) return null
  return Object.entries(value).map(([key, member]) => [path === '' ? key : `${path}.${key}`, member])
}

/** A document as pairs of path and JSON text, for people; a short part stays on one line. */
export function documentLines(
  value: unknown,
  path = '',
  depth = 0,
): readonly (readonly [path: string, text: string])[] {
  const members = depth < MAX_SPLIT_DEPTH ? membersOf(value, path) : null
  if (members === null || members.length === 0) return [[path, jsonText(value)]]
  const text = path === '' ? null : jsonText(value)
  if (text !== null && text.length <= MAX_INLINE_CHARACTERS) return [[path, text]]
  return members.flatMap(([memberPath, member]) => documentLines(member, memberPath, depth + 1))
}
