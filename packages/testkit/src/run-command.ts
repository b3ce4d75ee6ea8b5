import { execFile, type ExecFileOptions } from 'node:child_process'

/**
 * Runs a program to its end and gives its standard output.
 *
 * Throws an Error that names the program and holds the end of what it wrote to standard error.
 */
export function runCommand(command: string, args: readonly string[], options: ExecFileOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { ...options, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const said = stderr.trim().slice(-1000)
      reject(new Error(`${command} failed: ${said === '' ? error.message : said}`, { cause: error }))
    })
    child.stdin?.end()
  })
}
