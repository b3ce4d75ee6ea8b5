import { isIPv6 } from 'node:net'
import { Type } from '@sinclair/typebox'

/** One Redis server, as explicit options: ioredis never sees the URL, and can't read it in another way. */
export type RedisTarget = {
  readonly host: string
  readonly port: number
  /** Number of the database. */
  readonly db: number
  readonly tls: boolean
  readonly username: string | null
  readonly password: string | null
  /** Version of IP that the host's name is resolved to; 0: either. */
  readonly family: 0 | 4 | 6
}

type Read<T> = { readonly value: T } | { readonly fault: string }

const DEFAULT_PORT = 6379
const MAX_PORT = 65_535
/** The server keeps the number of its databases in 32 bits. */
const MAX_DATABASE = 2_147_483_647
const SCHEME = /^(rediss?):\/\//i
const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?$/
/** Blanks and control characters: a parser of URLs drops them, which changes a password. */
const INVISIBLE = /[\p{Control}\p{Separator}]/u

const FAULTS = {
  scheme: 'expected a URL that begins with redis:// or rediss://',
  invisible: 'expected a URL without blanks and control characters',
  credentials: 'expected / ? and # in user name and password to be written as %2F %3F and %23',
  encoding: 'expected every % in user name and password to be written as %25',
  hosts: 'expected one host',
  host: 'expected a host: a name, an IPv4 address, or an IPv6 address in brackets',
  port: `expected a port of 1 to ${MAX_PORT}`,
  database: 'expected nothing but the number of a database, such as /0, after the host',
  parameters: 'expected no parameters but family=0, family=4 or family=6',
  fragment: 'expected nothing after a #',
} as const

function decoded(text: string): Read<string> {
  try {
    return { value: decodeURIComponent(text) }
  } catch {
    return { fault: FAULTS.encoding }
  }
}

/** `user:password`, `:password`, or `user`, which stands for an empty password. */
function readCredentials(text: string | null): Read<Pick<RedisTarget, 'username' | 'password'>> {
  if (text === null) return { value: { username: null, password: null } }
  const at = text.indexOf(':')
  const username = decoded(at === -1 ? text : text.slice(0, at))
  const password = decoded(at === -1 ? '' : text.slice(at + 1))
  if ('fault' in username) return username
  if ('fault' in password) return password
  if (username.value === '') return { value: { username: null, password: password.value || null } }
  return { value: { username: username.value, password: password.value } }
}

function readPort(text: string | undefined): Read<number> {
  if (text === undefined) return { value: DEFAULT_PORT }
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port >= 1 && port <= MAX_PORT ? { value: port } : { fault: FAULTS.port }
}

function readHost(text: string): Read<Pick<RedisTarget, 'host' | 'port'>> {
  if (text.includes(',')) return { fault: FAULTS.hosts }
  const [, bracketed, name = '', portText] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(text) ?? []
  const isHost = bracketed === undefined ? HOST_NAME.test(name) : isIPv6(bracketed) && !bracketed.includes('%')
  if (!isHost) return { fault: FAULTS.host }
  const port = readPort(portText)
  return 'fault' in port ? port : { value: { host: bracketed ?? name, port: port.value } }
}

function readDatabase(path: string): Read<number> {
  if (path === '' || path === '/') return { value: 0 }
  const db = /^\/\d{1,10}$/.test(path) ? Number(path.slice(1)) : Number.POSITIVE_INFINITY
  return db <= MAX_DATABASE ? { value: db } : { fault: FAULTS.database }
}

/** Other parameters would be options of ioredis, and change how it connects, waits, or names its keys. */
function readFamily(query: string | null): Read<RedisTarget['family']> {
  if (query === null || query === '') return { value: 0 }
  const family = /^family=([046])$/.exec(query)?.[1]
  return family === undefined ? { fault: FAULTS.parameters } : { value: Number(family) as RedisTarget['family'] }
}

type Parts = {
  readonly isTls: boolean
  readonly credentials: string | null
  readonly hosts: string
  readonly path: string
  readonly query: string | null
  readonly fragment: string | null
  /** Whether the part after the host has an @: then it is no path or query, but the rest of a password. */
  readonly hasStrayAt: boolean
}

function split(text: string, scheme: string): Parts {
  const [, authority = '', path = '', query = null, fragment = null] =
    /^([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(text.slice(scheme.length + '://'.length)) ?? []
  // A raw @ is part of the password: the last one ends it.
  const at = authority.lastIndexOf('@')
  return {
    isTls: scheme.toLowerCase() === 'rediss',
    credentials: at === -1 ? null : authority.slice(0, at),
    hosts: authority.slice(at + 1),
    path,
    query,
    fragment,
    hasStrayAt: [path, query, fragment].some((part) => part?.includes('@')),
  }
}

/**
 * Reads a `REDIS_URL`. Gives the server that it names, or all its faults. The words of a fault quote nothing of the URL: a
 * part in the wrong place may belong to the password.
 */
export function readRedisUrl(text: string): RedisTarget | { readonly faults: readonly string[] } {
  if (INVISIBLE.test(text)) return { faults: [FAULTS.invisible] }
  const scheme = SCHEME.exec(text)?.[1]
  if (scheme === undefined) return { faults: [FAULTS.scheme] }
  const parts = split(text, scheme)
  if (parts.hasStrayAt) return { faults: [FAULTS.credentials] }
  const credentials = readCredentials(parts.credentials)
  const host = readHost(parts.hosts)
  const db = readDatabase(parts.path)
  const family = readFamily(parts.query)
  const faults = [credentials, host, db, family].flatMap((read) => ('fault' in read ? [read.fault] : []))
  if (parts.fragment !== null) faults.push(FAULTS.fragment)
  if (faults.length > 0 || 'fault' in credentials || 'fault' in host || 'fault' in db || 'fault' in family)
    return { faults }
  return { ...credentials.value, ...host.value, db: db.value, family: family.value, tls: parts.isTls }
}

/** The field of an environment's schema for `REDIS_URL`, a `redis://` or `rediss://` URL; required. */
export function redisUrl() {
  const faults = (text: string): readonly string[] => {
    const read = readRedisUrl(text)
    return 'faults' in read ? read.faults : []
  }
  return Type.String({ faults })
}
