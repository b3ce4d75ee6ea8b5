import { spawn } from 'node:child_process'

/*
 * Waits for the end of its standard input, which comes when the owner ends, however it ends (SIGKILL leaves no time
 * for a handler of its own). A shell, since one stands by for every server and must cost next to nothing.
 */
const untilOwnerEnds = 'read -r _'

/**
 * Has processes killed as soon as this process ends without having called it off.
 *
 * Gives the function that calls it off; call it when they have ended, since the numbers of processes are used again.
 */
export function dieWithOwner(pids: readonly number[]): () => void {
  return standBy(`${untilOwnerEnds}; kill -9 "$@"`, pids.map(String))
}

/** Has a folder removed as soon as this process ends without having called it off. */
export function removeWithOwner(folder: string): () => void {
  // The pause lets servers that die at the same moment write their last.
  return standBy(`${untilOwnerEnds}; sleep 1; rm -rf "$1"`, [folder])
}

function standBy(script: string, args: readonly string[]): () => void {
  const watcher = spawn('/bin/sh', ['-c', script, 'sh', ...args], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // A session of its own: Ctrl-C in the terminal must not end the watcher before its owner.
    detached: true,
    cwd: '/',
  })
  watcher.unref()
  watcher.stdin?.on('error', () => {})
  return () => void watcher.kill('SIGKILL')
}
