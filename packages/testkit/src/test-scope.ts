/** The part of a tap test that this package needs; `teardown` runs after the test or its file. */
export interface TestScope {
  teardown(handler: () => unknown): unknown
}
