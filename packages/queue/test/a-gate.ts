/** A promise that a test opens by hand. */
export class Gate {
  #resolve: () => void = () => {}
  readonly opened = new Promise<void>((resolve) => (this.#resolve = resolve))

  open(): void {
    this.#resolve()
  }
}
