import { runThread } from '../thread.ts'
import type { RetireInput } from './retire-tree.ts'
import { retireTree } from './retire-tree.ts'

runThread<RetireInput, never, never, void>((input) => retireTree(input))
