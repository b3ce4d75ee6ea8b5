/** The provider's two worlds. Nothing in a body tells them apart: the signing secret that matched does. */
export type Environment = 'production' | 'sandbox'
