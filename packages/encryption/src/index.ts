export { KeyRing, NO_KEYS, type Sealed } from './key-ring.ts'
