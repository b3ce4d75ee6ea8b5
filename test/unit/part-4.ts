import { together, unitTests } from '../together.ts'

together(unitTests(), { part: 4, of: 4 })
