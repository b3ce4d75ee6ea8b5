import t, { type Test } from 'tap'
import { createLogger, createRegistry, Gauge, Histogram } from '@persona-ingest/service'
import { ClockSkew } from '../../src/deliveries/signature.ts'

const NOW_MS = Date.UTC(2026, 1, 3)
const TEN_MINUTES_MS = 600_000

type Line = { readonly level: string; readonly msg: string; readonly skewSeconds?: number; readonly refused?: number }

function aClockSkew(t: Test) {
  const lines: Line[] = []
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Line) }
  const logger = createLogger({ app: 'probe', level: 'info', destination })
  const registry = createRegistry()
  const ages = new Histogram({ name: 'ages', help: 'ages', buckets: [0, 100], registers: [registry] })
  const skew = new Gauge({ name: 'skew', help: 'skew', registers: [registry] })
  const clockSkew = new ClockSkew({ ages, skew, logger })
  const monotonic = { nowMs: 1_000_000 }
  t.capture(performance, 'now', () => monotonic.nowMs)
  const observe = (ageSeconds: number, { times = 1, ok = true, isRetry = false } = {}) => {
    const timestampSeconds = NOW_MS / 1000 - ageSeconds
    const common = { environment: 'production', timestampSeconds } as const
    const code = ageSeconds > 0 ? ('SIGNATURE_TOO_OLD' as const) : ('SIGNATURE_IN_FUTURE' as const)
    const verdict = ok ? ({ ok: true, ...common } as const) : ({ ok: false, code, ...common } as const)
    for (let i = 0; i < times; i += 1) clockSkew.observe(verdict, { nowMs: NOW_MS, isRetry })
  }
  const skewIs = async () => (await skew.get()).values[0]?.value
  return { clockSkew, observe, lines, registry, monotonic, skewIs }
}

t.test('fresh signatures, and late retries, give no warning', async (t) => {
  const { observe, lines, skewIs } = aClockSkew(t)
  observe(1, { times: 30 })
  observe(40_000, { times: 20, isRetry: true })
  observe(-5, { times: 30 })
  t.same(lines, [])
  t.equal(await skewIs(), -5)
})

t.test('retries alone say nothing of the clock', async (t) => {
  const { observe, lines, skewIs } = aClockSkew(t)
  observe(40_000, { times: 60, isRetry: true })
  t.same(lines, [])
  t.equal(String(await skewIs()), 'NaN')
})

for (const [name, ageSeconds, ok] of [
  ['a minute behind, before anything is refused', -70, true],
  ['ten minutes behind: everything is refused', -600, false],
  ['a day behind: everything is refused', -86_400, false],
  ['ten minutes ahead: nothing is refused', 600, true],
  ['a day ahead: nothing is refused', 86_400, true],
  ['a week ahead: everything is refused', 604_800, false],
] as const) {
  t.test(`our clock ${name}`, async (t) => {
    const { observe, lines, skewIs, monotonic } = aClockSkew(t)
    observe(ageSeconds, { times: 9, ok })
    t.equal(lines.length, 0, 'nine are not enough to tell')
    t.equal(String(await skewIs()), 'NaN')
    observe(ageSeconds, { times: 30, ok })
    t.equal(await skewIs(), ageSeconds)
    t.equal(lines.length, 1)
    t.match(lines[0], { level: 'warn', skewSeconds: ageSeconds, msg: /mend its time synchronisation/ })
    monotonic.nowMs += TEN_MINUTES_MS - 1
    observe(ageSeconds, { ok })
    t.equal(lines.length, 1)
    monotonic.nowMs += 1
    observe(ageSeconds, { times: 10, ok })
    t.equal(lines.length, 2, 'and again ten minutes later')
  })
}

t.test('a clock that was set right is right after ten minutes, or as many deliveries as count', async (t) => {
  const { observe, skewIs, monotonic } = aClockSkew(t)
  observe(900, { times: 50 })
  observe(1, { times: 30 })
  t.equal(await skewIs(), 1)
  observe(900, { times: 50 })
  monotonic.nowMs += TEN_MINUTES_MS
  observe(1, { times: 10 })
  t.equal(await skewIs(), 1)
})

t.test('a right clock and a small tolerance: the setting is named', async (t) => {
  const { observe, lines } = aClockSkew(t)
  observe(1, { times: 10 })
  observe(4000, { times: 30, ok: false, isRetry: true })
  t.match(lines, [{ level: 'warn', refused: 11, msg: /SIGNATURE_TOLERANCE_SECONDS/ }])
})

t.test('one odd clock among the provider its own changes nothing', async (t) => {
  const { observe, lines, skewIs } = aClockSkew(t)
  for (let round = 0; round < 10; round += 1) {
    observe(-200, { times: 2 })
    observe(1, { times: 3 })
  }
  t.same(lines, [])
  t.equal(await skewIs(), 1)
})

t.test('what is not authentic does not count', async (t) => {
  const { clockSkew, lines, registry, skewIs } = aClockSkew(t)
  for (let i = 0; i < 100; i += 1)
    clockSkew.observe({ ok: false, code: 'SIGNATURE_MISMATCH' }, { nowMs: NOW_MS, isRetry: false })
  t.same(lines, [])
  t.equal(await skewIs(), 0, 'never set')
  t.match(await registry.getSingleMetricAsString('ages'), /ages_count 0/)
})

t.test('ages of authentic signatures are measured', async (t) => {
  const { observe, registry } = aClockSkew(t)
  observe(-2)
  observe(50, { ok: false })
  t.match(await registry.getSingleMetricAsString('ages'), /le="0"\} 1\n.*le="100"\} 2\n/)
})
