import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import { Job } from 'kubernetes-models/batch/v1/Job'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { Service } from 'kubernetes-models/v1/Service'
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject'
import { TriggerAuthentication } from '@kubernetes-models/keda/keda.sh/v1alpha1/TriggerAuthentication'
import { root } from './structure/source-files.ts'

const folder = join(root, 'deploy/kubernetes')
const run = promisify(execFile)

type Resource = { readonly apiVersion: string; readonly kind: string; readonly metadata: { readonly name: string } }
type PodSpec = ConstructorParameters<typeof Deployment>[0] extends
  { spec?: { template: { spec?: infer Spec } } } | undefined
  ? NonNullable<Spec>
  : never
type Workload = Resource & { readonly spec: { readonly template: { readonly spec: PodSpec } } }

/** The schema of each kind in deploy/kubernetes. `validate` throws where a resource does not fit. */
const MODELS: Readonly<Record<string, new (data: never) => { validate(): void }>> = {
  ConfigMap,
  Deployment,
  HorizontalPodAutoscaler,
  Job,
  Namespace,
  NetworkPolicy,
  PodDisruptionBudget,
  ScaledObject,
  Service,
  ServiceAccount,
  TriggerAuthentication,
}

function manifestsIn(name: string): readonly (readonly [file: string, resource: Resource])[] {
  return readdirSync(join(folder, name))
    .filter((file) => file !== 'kustomization.yaml')
    .flatMap((file) =>
      parseAllDocuments(readFileSync(join(folder, name, file), 'utf8')).map(
        (document) => [`${name}/${file}`, document.toJS() as Resource] as const,
      ),
    )
}

const manifests = [...manifestsIn('base'), ...manifestsIn('keda'), ...manifestsIn('notifier')]
const workloads = manifests
  .map(([, resource]) => resource as Workload)
  .filter(({ kind }) => kind === 'Deployment' || kind === 'Job')

t.test('every manifest fits the schema of its kind', async (t) => {
  t.ok(manifests.length >= 19)
  for (const [file, resource] of manifests) {
    const Model = MODELS[resource.kind]
    if (Model === undefined) {
      t.fail(`${file}: no schema for ${resource.kind}`)
      continue
    }
    const model = new Model(resource as never)
    t.doesNotThrow(() => model.validate(), `${file}: ${resource.kind} ${resource.metadata.name}`)
  }
})

t.test('the check can fail', async (t) => {
  const [, deployment] = manifests.find(([, { kind }]) => kind === 'Deployment') as [string, Workload]
  const broken = structuredClone(deployment)
  Object.assign(broken.spec, { replicas: 'two' })
  t.throws(() => new Deployment(broken as never).validate())
})

t.test('each kustomization lists every file beside it, and nothing that is not there', async (t) => {
  for (const name of ['base', 'keda', 'notifier']) {
    const { resources } = parse(readFileSync(join(folder, name, 'kustomization.yaml'), 'utf8')) as {
      resources: string[]
    }
    const files = readdirSync(join(folder, name)).filter((file) => file !== 'kustomization.yaml')
    t.same(resources.filter((resource) => !resource.startsWith('..')).toSorted(), files.toSorted(), name)
  }
})

t.test('no pod runs as root, writes to its image, has a capability, or talks to the cluster', async (t) => {
  t.equal(workloads.length, 4)
  for (const { metadata, spec } of workloads) {
    const pod = spec.template.spec
    t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }, metadata.name)
    t.equal(pod.automountServiceAccountToken, false)
    for (const container of pod.containers) {
      const hardened = {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      }
      t.match(container.securityContext, hardened)
      t.ok(
        container.resources?.requests?.['memory'] !== undefined && container.resources.limits?.['memory'] !== undefined,
      )
    }
  }
})

t.test('no Service sets a variable of a pod by its name', async (t) => {
  for (const { metadata, spec } of workloads) t.equal(spec.template.spec.enableServiceLinks, false, metadata.name)
})

t.test('the metrics port is reached from other pods', async (t) => {
  const config = manifests.map(([, resource]) => resource).find(({ kind }) => kind === 'ConfigMap')
  t.match(config, { data: { METRICS_HOST: '0.0.0.0' } })
})

t.test('a pod is given longer than its drain', async (t) => {
  const [, config] = manifests.find(([, { kind }]) => kind === 'ConfigMap') as [
    string,
    Resource & { data: Record<string, string> },
  ]
  const drainSeconds = Number(config.data['DRAIN_TIMEOUT_MS']) / 1000
  for (const { kind, metadata, spec } of workloads) {
    if (kind === 'Deployment')
      t.ok((spec.template.spec.terminationGracePeriodSeconds ?? 30) > drainSeconds + 5, metadata.name)
  }
})

type Policy = Resource & {
  readonly spec: {
    readonly egress?: { readonly ports: { readonly port: number | string }[]; readonly to?: unknown[] }[]
  }
}

t.test(
  'the notifier reaches names, Redis, PostgreSQL and public addresses at 443, and no other pod the internet',
  async (t) => {
    const policies = manifests
      .map(([, resource]) => resource as Policy)
      .filter(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name !== 'deny-all')
    const portsOf = ({ spec }: Policy) => (spec.egress ?? []).flatMap(({ ports }) => ports.map(({ port }) => port))
    t.equal(policies.length, 4)
    for (const policy of policies) t.equal(portsOf(policy).includes(443), policy.metadata.name === 'notifier')
    const notifier = policies.find(({ metadata }) => metadata.name === 'notifier') as Policy
    t.same(portsOf(notifier), [53, 53, 6379, 6380, 5432, 443])
    const rule = notifier.spec.egress?.find(({ ports }) => ports[0]?.port === 443)
    const [ipv4] = (rule?.to ?? []) as { ipBlock: { except: string[] } }[]
    for (const range of ['10.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'])
      t.ok(ipv4?.ipBlock.except.includes(range), range)
  },
)

t.test('every variable is one that .env.example knows, and the ingress is not told of the database', async (t) => {
  const known = new Set(
    [...readFileSync(join(root, '.env.example'), 'utf8').matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => name),
  )
  for (const { metadata, spec } of workloads) {
    const names = spec.template.spec.containers.flatMap(({ env = [] }) => env.map(({ name }) => name))
    for (const name of names) t.ok(known.has(name), `${metadata.name}: ${name}`)
    if (metadata.name === 'ingress') t.notOk(names.includes('DATABASE_URL'))
    if (metadata.name === 'notifier') t.notOk(names.some((name) => name.includes('ENCRYPTION')))
  }
})

t.test('kustomize builds all', async (t) => {
  const build = async (name: string) => run('kubectl', ['kustomize', join(folder, name)])
  const first = await build('base').catch((error: NodeJS.ErrnoException) => error)
  if (first instanceof Error && first.code === 'ENOENT') return t.comment('no kubectl here: not run')
  if (first instanceof Error) throw first
  t.match(first.stdout, /kind: HorizontalPodAutoscaler/)
  t.match((await build('keda')).stdout, /kind: ScaledObject/)
  t.match((await build('notifier')).stdout, /name: persona-ingest-notifier/)
})
