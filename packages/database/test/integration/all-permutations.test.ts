import t from 'tap'
import { throwAwayCopy, throwAwayDatabase } from '@persona-ingest/testkit'
import { openDatabase } from '../../src/index.ts'
import { give } from '../fixtures/give.ts'
import { expectedRows, rowsSql } from '../model/expected-rows.ts'
import { renamed, type AbstractErasure, type AbstractEvent } from '../model/history.ts'
import { lifecycles } from '../model/lifecycles.ts'

function permutations<T>(items: readonly T[]): readonly (readonly T[])[] {
  if (items.length <= 1) return [items]
  return items.flatMap((first, at) => permutations(items.toSpliced(at, 1)).map((rest) => [first, ...rest]))
}

const original = await throwAwayDatabase(t)

for (const [name, lifecycle] of Object.entries(lifecycles)) {
  t.test(`all ${permutations(lifecycle).length} orders end in the same rows: ${name}`, async (t) => {
    const { url, sql } = await throwAwayCopy(t, original)
    const database = openDatabase({ encryptionKeys: [], url, connections: 4 })
    t.teardown(() => database.close())
    const orders = permutations(lifecycle).map((order, index) => order.map((event) => renamed(event, `_${index}`)))

    // Wave by wave: each permutation's next event, cut into batches of other sizes in every wave, for two writers.
    for (let wave = 0; wave < lifecycle.length; wave += 1) {
      const items = orders.map((order) => order[wave] as AbstractEvent | AbstractErasure)
      const size = 7 + wave * 20
      const batches = Array.from({ length: Math.ceil(items.length / size) }, (_, at) =>
        items.slice(at * size, at * size + size),
      )
      const writer = async (): Promise<void> => {
        for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) await give(database, batch)
      }
      await Promise.all([writer(), writer()])
    }

    const rows = await sql(rowsSql)
    const isEvent = (item: AbstractEvent | AbstractErasure): item is AbstractEvent => !('erasedId' in item)
    const expected = expectedRows(
      lifecycle.filter(isEvent),
      lifecycle.filter((item): item is AbstractErasure => 'erasedId' in item),
    )
    t.equal(rows.length, expected.length * orders.length, 'every object has one row')
    const differing = orders.filter((_, index) => {
      const suffix = `_${index}`
      const strip = (text: unknown): unknown =>
        typeof text === 'string' && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text
      return expected.some((row) => {
        const found = rows.find((other) => other['id'] === row.id + suffix && other['table'] === row.table)
        return Object.entries(row).some(([key, value]) => found === undefined || strip(found[key]) !== value)
      })
    })
    t.equal(
      differing.length,
      0,
      `orders that end otherwise: ${differing
        .map((order) => order.map((item) => ('erasedId' in item ? item.erasedId : item.id)))
        .slice(0, 3)
        .join(' | ')}`,
    )
  })
}
