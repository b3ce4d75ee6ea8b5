import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from './structure/source-files.ts'

const read = (path: string) => readFileSync(join(root, path), 'utf8')
const rules = read('deploy/observability/alert-rules.yml')
const dashboard = read('deploy/observability/grafana/dashboards/persona-ingest.json')
const alertsPage = read('docs/alerts.md')
const metricsPage = read('docs/metrics.md')

/** Each alert's name with its lines. */
const alerts = rules
  .split(/^ {6}- alert: /m)
  .slice(1)
  .map((text) => ({ name: text.slice(0, text.indexOf('\n')), text }))

/** As GitHub makes the anchor of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w -]/g, '')
    .replaceAll(' ', '-')
}

/** The sections of docs/alerts.md, each with its heading. */
function runbooks(): { name: string; text: string }[] {
  return alertsPage
    .split(/^## /m)
    .slice(1)
    .map((text) => ({ name: text.slice(0, text.indexOf('\n')), text: text.slice(text.indexOf('\n')).trim() }))
}

t.test('every alert has a runbook, every runbook has an alert, in the same order', async (t) => {
  t.ok(alerts.length >= 9)
  t.same(
    runbooks().map(({ name }) => name),
    alerts.map(({ name }) => name),
  )
  for (const { name, text } of runbooks()) t.ok(text.length > 80, name)
})

t.test(
  'every alert has an expression, a severity, a summary, and a runbook line that leads to its heading',
  async (t) => {
    for (const { name, text } of alerts) {
      t.match(text, /^ {8}expr: \S/m, name)
      t.match(text, /^ {10}severity: (critical|warning)$/m, name)
      t.match(text, /^ {10}summary: \S/m, name)
      t.match(text, `          runbook: docs/alerts.md#${anchorOf(name)}\n`, name)
    }
  },
)

t.test('rules and dashboard ask for metrics that exist', async (t) => {
  const documented = new Set([...metricsPage.matchAll(/^\| `(persona_\w+)`/gm)].map(([, name]) => name))
  const parsed = JSON.parse(dashboard) as { panels: { targets?: { expr: string }[] }[] }
  const queries = parsed.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  t.ok(queries.length > 20)
  for (const text of [...alerts.map((alert) => alert.text), ...queries]) {
    for (const [name] of text.matchAll(/\bpersona_(?:ingress|notifier|worker)_\w+/g)) {
      t.ok(documented.has(name) || documented.has(name.replace(/_(bucket|sum|count)$/, '')), name)
    }
  }
})

t.test('the reasons that rules pick out are codes of the error table', async (t) => {
  const errors = read('docs/errors.md')
  for (const [, reasons = ''] of rules.matchAll(/reason=~"([^"]+)"/g)) {
    for (const reason of reasons.split('|')) t.match(errors, new RegExp(`^\\| \`${reason}\``, 'm'), reason)
  }
})
