/** The gate of builds that say themselves when they are done: a file whose first line is a given text. */
import { printableName, utf8 } from '../base/bytes.ts'
import type { Entry } from '../dag/entry.ts'
import type { NodeSource } from '../dag/reader.ts'
import { createTreeFiles } from './tree-files.ts'
import type { Verdict } from './verdict.ts'

const MAX_STATUS_BYTES = 64 * 1024
const MAX_SHOWN = 80

export async function checkStatusFile(
  { path, text }: { readonly path: string; readonly text: string },
  snapshot: { readonly source: NodeSource; readonly root: Entry },
  signal?: AbortSignal,
): Promise<Verdict> {
  const files = createTreeFiles(snapshot, signal)
  const entry = await files.find(path)
  if (entry === undefined) return closed(`there is no ${path}`)
  if (entry.type !== 'file') return closed(`${path} is no file`)
  const content = await files.readText(entry, MAX_STATUS_BYTES)
  if (content === undefined) return closed(`${path} is larger than ${MAX_STATUS_BYTES} bytes`)
  const line = content.split('\n', 1)[0]!.trim()
  if (line === text) return { reasons: [], notes: [] }
  return closed(`${path} says "${printableName(utf8(line.slice(0, MAX_SHOWN)))}" and not "${text}"`)
}

function closed(reason: string): Verdict {
  return { reasons: [reason], notes: [] }
}
