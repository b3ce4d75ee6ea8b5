// Health check of a container: `node health-check.mjs <default port> <path>`. Exit code 0 where the process answers 2xx.
// It asks the address that METRICS_HOST and METRICS_PORT tell, also by file; an address that stands for all is loopback.
import { readFileSync } from 'node:fs'
import { get } from 'node:http'

const [defaultPort, path] = process.argv.slice(2)
const LOOPBACK = { '0.0.0.0': '127.0.0.1', '::': '::1' }

function setting(name, otherwise) {
  const file = process.env[`${name}_FILE`]?.trim()
  const text = file ? readFileSync(file, 'utf8') : process.env[name]
  return text?.trim() || otherwise
}

const host = setting('METRICS_HOST', '127.0.0.1')
// Not `fetch`, which refuses some ports.
get({ host: LOOPBACK[host] ?? host, port: setting('METRICS_PORT', defaultPort), path }, ({ statusCode }) => {
  process.exit(statusCode >= 200 && statusCode < 300 ? 0 : 1)
}).on('error', () => process.exit(1))
