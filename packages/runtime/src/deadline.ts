/**
 * Waits for `promise` at most `deadlineMs`; past it, resolves to what `late()` returns or rejects with what it throws.
 * The promise itself goes on; its later outcome, a rejection too, is ignored.
 */
export async function withDeadline<T, L>(promise: Promise<T>, deadlineMs: number, late: () => L): Promise<T | L> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, deadlineMs)
  })
  try {
    return await Promise.race([promise, deadline.then(late)])
  } finally {
    clearTimeout(timer)
  }
}
