export { KeyRing, NO_KEYS, type KeyedDigest, type Sealed } from './key-ring.ts'
