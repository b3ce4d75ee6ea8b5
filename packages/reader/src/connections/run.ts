/** The values of a row as PostgreSQL's texts. */
export type TextRow = Readonly<Record<string, string | null>>

/** Runs one statement. */
export type Run = (text: string, values: readonly unknown[]) => Promise<readonly TextRow[]>
