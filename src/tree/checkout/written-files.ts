/**
 * The regular files of a check-out that was just written, for what stores blocks in place: what each holds, as the plan
 * noted it, and what it looks like, as the threads did. So nobody walks the snapshot again, or opens what was open a
 * moment ago. Of a hard-link group the name that was written; nothing that is better copied (backed-reader.ts) or has no block
 * of its own, and nothing of the users' own.
 */
import type { Cid } from '../../block/cid.ts'
import { CID_KEY_BYTES, cidFromKeyBytes, cidToKeyBytes, RAW } from '../../block/cid.ts'
import type { FileEntry } from '../../dag/entry.ts'
import type { FilePart } from '../../dag/file.ts'
import type { BackedBlock } from '../../store/block-backings.ts'
import { SMALLEST_BACKED_BYTES } from '../import/backed-reader.ts'
import { FILE_STATE_BYTES, isKnown, stateFacts } from '../manifest/file-state.ts'
import { asBuffer } from '../path-bytes.ts'
import type { RecordReader, RecordWriter } from '../spool/record-bytes.ts'
import { createRecordReader } from '../spool/record-bytes.ts'

export interface WrittenFile {
  /** Its path below the check-out; empty when that is the file itself. */
  readonly below: Buffer
  readonly sizeBytes: number
  readonly content: Cid
  /** What it consists of; absent where only the snapshot can tell. */
  readonly blocks?: readonly BackedBlock[]
  /** Undefined where only a look at the file can tell. */
  readonly state: Buffer | undefined
  /** It was taken over from the tree before: nothing was written. */
  readonly isTaken: boolean
}

const NEEDS_LOOK = 1

/**
 * @param slot of its state; rising from note to note
 * @param parts its blocks, where the plan has read of them
 */
export function noteContent(
  notes: RecordWriter,
  path: Uint8Array,
  entry: FileEntry,
  slot: number,
  parts: readonly FilePart[] = [],
): void {
  const { content, inline, sizeBytes, link, xattrs, xattrBlock } = entry
  if (content === undefined || inline !== undefined || sizeBytes < SMALLEST_BACKED_BYTES) return
  // Another name moves the time that the state has; an ACL among the attributes may keep us from reading the file.
  const isPlain = link === undefined && xattrs === undefined && xattrBlock === undefined
  notes.u32(slot)
  notes.u8(isPlain ? 0 : NEEDS_LOOK)
  notes.whole(sizeBytes)
  notes.bytes(cidToKeyBytes(content))
  notes.u16(path.length)
  notes.bytes(path)
  // Of a file of one block that is said.
  const listed = content.code === RAW ? [] : parts
  notes.u32(listed.length)
  for (const { cid, lengthBytes } of listed) {
    notes.bytes(cidToKeyBytes(cid))
    notes.u32(lengthBytes)
  }
}

/** Once all notes and states are written. */
export function* readWrittenFiles(
  notes: { readonly fd: number; readonly bytes: number },
  states: { readonly fd: number; readonly bytes: number },
): Generator<WrittenFile, void, undefined> {
  const from = createRecordReader(notes.fd, 0, notes.bytes)
  const stateAt = createRecordReader(states.fd, 0, states.bytes)
  const stateCount = states.bytes / FILE_STATE_BYTES
  let passed = 0

  function stateOf(slot: number): Buffer | undefined {
    // The states of the last files are missing where nothing is vouched for.
    if (slot >= stateCount) return undefined
    while (passed < slot) {
      stateAt.view(FILE_STATE_BYTES)
      passed += 1
    }
    const state = Buffer.from(stateAt.view(FILE_STATE_BYTES))
    passed += 1
    return isKnown(state) ? state : undefined
  }

  while (!from.isAtEnd) {
    const slot = from.u32()
    const needsLook = from.u8() === NEEDS_LOOK
    const sizeBytes = from.whole()
    const content = cidFromKeyBytes(from.bytes(CID_KEY_BYTES))
    const below = asBuffer(from.bytes(from.u16()))
    const blocks = readBlocks(from, content, sizeBytes)
    const state = stateOf(slot)
    const isTaken = state !== undefined && stateFacts(state).isTaken === true
    const file = { below, sizeBytes, content, state: needsLook ? undefined : state, isTaken }
    yield blocks === undefined ? file : { ...file, blocks }
  }
}

function readBlocks(from: RecordReader, content: Cid, sizeBytes: number): BackedBlock[] | undefined {
  const count = from.u32()
  if (content.code === RAW) return [{ key: cidToKeyBytes(content), offset: 0, lengthBytes: sizeBytes }]
  const blocks: BackedBlock[] = []
  for (let offset = 0; blocks.length < count; ) {
    const key = from.bytes(CID_KEY_BYTES)
    const lengthBytes = from.u32()
    blocks.push({ key, offset, lengthBytes })
    offset += lengthBytes
  }
  return count === 0 ? undefined : blocks
}
