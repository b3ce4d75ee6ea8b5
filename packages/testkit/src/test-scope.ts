/** The part of a tap test that this room needs: `teardown` runs when the test, or its file, has ended. */
export interface TestScope {
  teardown(handler: () => unknown): unknown
}
