import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { root } from './structure/source-files.ts'

const read = (path: string) => readFileSync(join(root, path), 'utf8')

type Service = {
  readonly profiles?: readonly string[]
  readonly networks?: readonly string[]
  readonly stop_grace_period?: string
  readonly ports?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly healthcheck?: { readonly test: readonly string[] }
}
const { services } = parse(read('docker-compose.yml'), { merge: true }) as {
  services: Readonly<Record<string, Service>>
}

/** Returns a text of Compose with the defaults of its variables. */
function withDefaults(text: string): string {
  return text.replaceAll(/\$\{\w+:?-([^}]*)\}/g, '$1')
}

t.test('Compose publishes every port on loopback unless it is configured', async (t) => {
  const ports = Object.entries(services).flatMap(([name, { ports = [] }]) => ports.map((port) => [name, port] as const))
  t.ok(ports.length >= 6)
  for (const [name, port] of ports) t.match(withDefaults(port), /^127\.0\.0\.1:/, `${name}: ${port}`)
  t.match(services['ingress']?.ports?.[0], '${HOST:-', 'HOST publishes the ingress elsewhere')
})

t.test('every service that uses the queue or the database has the keys of it', async (t) => {
  const keysFor = { REDIS_URL: 'QUEUE_ENCRYPTION_KEYS', DATABASE_URL: 'STORAGE_ENCRYPTION_KEYS' }
  for (const [name, { environment = {} }] of Object.entries(services)) {
    // A migration reads no encrypted value, and the notifier has a queue of its own and reads changes.
    if (name === 'migrate' || name === 'notifier') continue
    for (const [url, keys] of Object.entries(keysFor))
      if (url in environment) t.ok(keys in environment, `${name}: ${keys}`)
  }
})

t.test('the notifier runs with its profile alone, and only it joins the network to the outside', async (t) => {
  t.same(services['notifier']?.profiles, ['notify'])
  const outside = Object.entries(services).filter(([, { networks = [] }]) => networks.includes('egress'))
  t.same(
    outside.map(([name]) => name),
    ['notifier'],
  )
})

t.test('Compose gives each process longer than its drain', async (t) => {
  for (const name of ['ingress', 'worker', 'notifier']) {
    const grace = withDefaults(services[name]?.stop_grace_period ?? '')
    t.ok(Number(/^(\d+)s$/.exec(grace)?.[1]) > 20, `${name}: ${grace}`)
  }
})

t.test('Prometheus asks each process at its own port', async (t) => {
  const config = parse(read('deploy/observability/prometheus.yml')) as {
    scrape_configs: { job_name: string; dns_sd_configs: { names: string[]; port: number }[] }[]
  }
  t.same(
    config.scrape_configs.map(({ job_name: job, dns_sd_configs: [target] }) => [job, target?.names, target?.port]),
    [
      ['persona-ingress', ['ingress'], 9464],
      ['persona-worker', ['worker'], 9465],
      ['persona-notifier', ['notifier'], 9467],
    ],
  )
})

t.test('the override for secrets leaves no secret in an environment', async (t) => {
  const override = parse(read('deploy/compose/secrets.yml'), { merge: true }) as {
    services: Readonly<Record<string, Service>>
  }
  const secret = /^(REDIS_URL|DATABASE_URL|POSTGRES_PASSWORD|REDISCLI_AUTH|\w+_SECRETS?)$/
  for (const [name, { environment = {} }] of Object.entries(services))
    for (const variable of Object.keys(environment).filter((each) => secret.test(each)))
      t.equal(override.services[name]?.environment?.[variable], '', `${name}: ${variable}`)
})

t.test('in the images the metrics port is reached from outside of the container', async (t) => {
  t.match(read('Dockerfile'), /^ENV .*\bMETRICS_HOST=0\.0\.0\.0\b/m)
  for (const name of ['ingress', 'worker', 'notifier'])
    t.equal(services[name]?.environment?.['METRICS_HOST'], '0.0.0.0', name)
})

t.test('the development secret is given with a NODE_ENV that allows it', async (t) => {
  const { environment = {} } = services['ingress'] ?? {}
  t.equal(withDefaults(environment['PERSONA_WEBHOOK_SECRETS'] ?? ''), 'wbhsec_development_only')
  t.equal(withDefaults(environment['NODE_ENV'] ?? ''), 'development')
  t.match(read('Dockerfile'), /^ENV NODE_ENV=production\b/m)
})

t.test('README and docs/deploy.md name the commands that the scripts run, for supervisors', async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Readonly<Record<string, string>> }
  for (const name of ['start:ingress', 'start:worker', 'start:notifier'])
    for (const page of ['README.md', 'docs/deploy.md']) t.ok(read(page).includes(scripts[name] ?? '?'), name)
  for (const name of ['db:migrate', 'ops']) t.ok(read('docs/deploy.md').includes(scripts[name] ?? '?'), name)
})

const HEALTH_CHECK = 'deploy/image/health-check.mjs'
const run = promisify(execFile)

t.test('the health checks of the images and of Compose ask where the metrics are served', async (t) => {
  const dockerfile = read('Dockerfile')
  const target = '/app/health-check.mjs'
  t.equal(dockerfile.split(`COPY ${HEALTH_CHECK} /app/`).length - 1, 3)
  for (const [name, port] of Object.entries({ ingress: '9464', worker: '9465', notifier: '9467' })) {
    t.ok(dockerfile.includes(`CMD ["node", "${target}", "${port}", "/livez"]`), name)
    t.same(services[name]?.healthcheck?.test, ['CMD', 'node', target, port, '/readyz'])
  }
})

t.test('the health check follows METRICS_HOST and METRICS_PORT', async (t) => {
  const server = createServer((request, response) => response.writeHead(request.url === '/livez' ? 200 : 503).end())
  server.listen(0, '127.0.0.2')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const port = String((server.address() as AddressInfo).port)
  const codeOf = async (env: Readonly<Record<string, string>>, path = '/livez', defaultPort = '1') =>
    run(process.execPath, [HEALTH_CHECK, defaultPort, path], { cwd: root, env }).then(
      () => 0,
      ({ code }: { code: number }) => code,
    )
  t.equal(await codeOf({ METRICS_HOST: '127.0.0.2', METRICS_PORT: port }), 0)
  t.equal(await codeOf({ METRICS_HOST: '127.0.0.2', METRICS_PORT: '' }, '/livez', port), 0, 'the default port')
  t.equal(await codeOf({ METRICS_HOST: '127.0.0.2', METRICS_PORT: port }, '/readyz'), 1, 'not ready')
  t.equal(await codeOf({ METRICS_PORT: port }), 1, 'nothing on loopback')
  const file = join(t.testdir(), 'host')
  writeFileSync(file, '127.0.0.2\n')
  t.equal(await codeOf({ METRICS_HOST_FILE: file, METRICS_PORT: port }), 0, 'by file')
})

for (const [everywhere, loopback] of Object.entries({ '0.0.0.0': '127.0.0.1', '::': '::1' })) {
  t.test(`the health check asks ${loopback} where METRICS_HOST is ${everywhere}`, async (t) => {
    const server = createServer((_request, response) => response.end())
    server.listen(0, loopback)
    t.teardown(() => server.close())
    const isHere = await Promise.race([
      once(server, 'listening').then(() => true),
      once(server, 'error').then(() => false),
    ])
    if (!isHere) return t.comment(`no ${loopback} here: not run`)
    const { port } = server.address() as AddressInfo
    const env = { METRICS_HOST: everywhere, METRICS_PORT: String(port) }
    await t.resolves(run(process.execPath, [HEALTH_CHECK, '1', '/livez'], { cwd: root, env }))
  })
}
