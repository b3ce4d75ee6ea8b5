import { together, unitTests } from '../together.ts'

together(unitTests(), { part: 1, of: 4 })
