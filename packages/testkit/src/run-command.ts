import { execFile, type ExecFileOptions } from 'node:child_process'

/**
 * Runs a program to its end and returns its standard output. Throws an Error with the program's name and the end of its
 * standard error.
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
