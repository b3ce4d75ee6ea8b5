import { Type } from '@sinclair/typebox'
import { parse } from 'pg-connection-string'

/** The allowed value of a parameter of the URL. */
type Rule = { readonly value: RegExp; readonly expected: string }

const ANY: Rule = { value: /^/, expected: '' }
const MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify']

/**
 * Known parameters: those of pg and libpq for address, user and TLS. Others stand in URLs of hosting services and are not
 * used.
 */
const PARAMETERS: Readonly<Record<string, Rule>> = {
  host: ANY,
  port: { value: /^\d{1,5}$/, expected: 'a port' },
  user: ANY,
  password: ANY,
  options: ANY,
  ssl: { value: /^(true|false|0|1|no-verify)$/, expected: 'true or false' },
  sslmode: { value: new RegExp(`^(${MODES.join('|')})$`), expected: `one of ${MODES.join(', ')}` },
  sslrootcert: ANY,
  sslcert: ANY,
  sslkey: ANY,
  sslnegotiation: { value: /^(postgres|direct)$/, expected: 'postgres or direct' },
  uselibpqcompat: { value: /^(true|false)$/, expected: 'true or false' },
  channel_binding: { value: /^(disable|prefer|require)$/, expected: 'disable, prefer or require' },
  // Names always resolve in `public`, so that another schema would not be used.
  schema: { value: /^public$/, expected: 'public' },
  application_name: ANY,
  fallback_application_name: ANY,
  client_encoding: ANY,
  connect_timeout: ANY,
  keepalives: ANY,
  keepalives_idle: ANY,
  keepalives_interval: ANY,
  keepalives_count: ANY,
  tcp_user_timeout: ANY,
  statement_timeout: ANY,
  query_timeout: ANY,
  lock_timeout: ANY,
  idle_in_transaction_session_timeout: ANY,
  connection_limit: ANY,
  pool_timeout: ANY,
  socket_timeout: ANY,
  pgbouncer: ANY,
  statement_cache_size: ANY,
}

const ENCODE = 'characters such as % / ? # @ in the user or the password must be percent-encoded'

function parameterFaults(query: string): readonly string[] {
  return [...new URLSearchParams(query)].flatMap(([name, value]) => {
    const rule = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined
    // An odd name may be a part of a password with a question mark, so it is not shown.
    if (rule === undefined) return [/^[a-z_]{1,40}$/i.test(name) ? `unknown parameter ${name}` : ENCODE]
    return rule.value.test(value) ? [] : [`parameter ${name}: expected ${rule.expected}`]
  })
}

/** Faults that pg's own parser finds; it also reads the files that the URL names. */
function parseFaults(text: string): readonly string[] {
  try {
    const { host, port, database } = parse(text)
    return [
      ...(host?.includes(',') === true ? ['several hosts are not supported'] : []),
      ...(host?.includes('/') === true && !host.startsWith('/') ? ['a folder of a socket begins with /'] : []),
      ...(Number(port) > 65_535 ? ['expected a port up to 65535'] : []),
      ...(database?.includes('@') === true ? [ENCODE] : []),
    ]
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException
    if (syscall === 'open' || syscall === 'read')
      return [`a file that sslrootcert, sslcert or sslkey names can't be read (${code ?? 'unknown'})`]
    if (error instanceof Error && error.message.includes('verify-ca')) return ['sslmode verify-ca wants sslrootcert']
    return [ENCODE]
  }
}

/**
 * Lists the faults of a PostgreSQL URL, without its values. The driver's own parser reads the URL. An unknown parameter,
 * another schema and several hosts are faults too, though the driver ignores them.
 */
export function postgresUrlFaults(text: string): readonly string[] {
  if (!/^postgres(ql)?:\/\//.test(text)) return ['expected a URL that begins with postgresql://']
  if (/[#\s]/.test(text)) return [ENCODE]
  const at = text.indexOf('?')
  const faults = [...(at < 0 ? [] : parameterFaults(text.slice(at + 1))), ...parseFaults(text)]
  return [...new Set(faults)]
}

/** The field of an environment's schema for `DATABASE_URL`, a `postgresql://` or `postgres://` URL; required. */
export function postgresUrl() {
  return Type.String({ faults: postgresUrlFaults })
}
