import { asBuffer } from './path-bytes.ts'
import { removeTree } from './remove-tree.ts'
import { runThread } from './thread.ts'

runThread<{ readonly path: Uint8Array }, never, never, void>(({ path }) => removeTree(asBuffer(path)))
