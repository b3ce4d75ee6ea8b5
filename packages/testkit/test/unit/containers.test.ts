import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')

type Service = { readonly ports?: readonly string[]; readonly environment?: Readonly<Record<string, string>> }
const { services } = parse(read('docker-compose.yml'), { merge: true }) as {
  services: Readonly<Record<string, Service>>
}

/** What Compose makes of a text where no variable is set. */
function withDefaults(text: string): string {
  return text.replaceAll(/\$\{\w+:?-([^}]*)\}/g, '$1')
}

t.test('Compose publishes every port on loopback unless it is configured', async (t) => {
  const ports = Object.entries(services).flatMap(([name, { ports = [] }]) => ports.map((port) => [name, port] as const))
  t.ok(ports.length >= 6)
  for (const [name, port] of ports) t.match(withDefaults(port), /^127\.0\.0\.1:/, `${name}: ${port}`)
  t.match(services['ingress']?.ports?.[0], '${HOST:-', 'HOST publishes the ingress elsewhere')
})

t.test('in the images the metrics port is reached from outside of the container', async (t) => {
  t.match(read('Dockerfile'), /^ENV .*\bMETRICS_HOST=0\.0\.0\.0\b/m)
  for (const name of ['ingress', 'worker']) t.equal(services[name]?.environment?.['METRICS_HOST'], '0.0.0.0', name)
})

t.test('the development secret is given with a NODE_ENV that allows it', async (t) => {
  const { environment = {} } = services['ingress'] ?? {}
  t.equal(withDefaults(environment['PERSONA_WEBHOOK_SECRETS'] ?? ''), 'wbhsec_development_only')
  t.equal(withDefaults(environment['NODE_ENV'] ?? ''), 'development')
  t.match(read('Dockerfile'), /^ENV NODE_ENV=production\b/m)
})

t.test('README and operations name the commands that the scripts run, for supervisors', async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Readonly<Record<string, string>> }
  for (const name of ['start:ingress', 'start:worker'])
    for (const page of ['README.md', 'docs/operations.md']) t.ok(read(page).includes(scripts[name] ?? '?'), name)
  for (const name of ['db:migrate', 'ops']) t.ok(read('docs/operations.md').includes(scripts[name] ?? '?'), name)
})
