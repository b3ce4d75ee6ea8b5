/** A table of results: one row a contestant. */
export type Table = {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
}

/** What a question found: tables to read, and all measurements to compute with. */
export type Answer = { readonly tables: readonly Table[]; readonly measurements: unknown }

export type QuestionOptions = {
  readonly rounds: number
  /** Divides the amounts: 1 for results, more to see whether a question still runs. */
  readonly shorter: number
  readonly say: (line: string) => void
}

/** One question about speed or cost. */
export type Question = {
  readonly name: string
  readonly summary: string
  answer(options: QuestionOptions): Promise<Answer>
}
