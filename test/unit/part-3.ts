import { together, unitTests } from '../together.ts'

together(unitTests(), { part: 3, of: 4 })
