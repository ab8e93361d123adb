import type { RetireInput } from './retire-tree.ts'
import { retireTree } from './retire-tree.ts'
import { runThread } from './thread.ts'

runThread<RetireInput, never, never, void>((input) => retireTree(input))
