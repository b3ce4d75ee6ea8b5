import { together, unitTests } from '../together.ts'

together(unitTests(), { part: 2, of: 4 })
