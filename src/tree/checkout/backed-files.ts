/** The files of a check-out that was just written, as a backing commits them: with the chunks they hold. */
import fs from 'node:fs'
import { cidToKeyBytes, RAW } from '../../block/cid.ts'
import { fileParts } from '../../dag/reader.ts'
import type { BackedBlock, BackedFile, BlockBackings, FileIdentity } from '../../store/block-backings.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { accessOf, identityOf } from '../manifest/file-state.ts'
import { createReadableFiles, lookAt } from './readable-files.ts'
import type { WrittenFile } from './written-files.ts'

const COMMIT_BLOCKS = 4096

/**
 * @param files all of them synced
 * @param backing asked for its id once there is a file to commit
 */
export async function commitFiles(
  { blocks, backings }: { readonly blocks: BlockStore; readonly backings: BlockBackings },
  {
    backing,
    files,
    dir,
    signal,
  }: {
    readonly backing: () => Promise<number>
    readonly files: AsyncIterable<WrittenFile>
    readonly dir: Buffer
    readonly signal: AbortSignal | undefined
  },
): Promise<void> {
  let batch: BackedFile[] = []
  let count = 0
  const commit = async (): Promise<void> => {
    if (batch.length > 0) await backings.commit(await backing(), batch, { isSynced: true })
    batch = []
    count = 0
  }
  const add = (file: BackedFile): Promise<void> | undefined => {
    batch.push(file)
    count += file.blocks.length
    return count >= COMMIT_BLOCKS ? commit() : undefined
  }
  const identify = createIdentify(dir)
  for await (const file of files) {
    const identity = identify(file)
    // Its blocks stay in packs.
    if (identity === undefined) continue
    const { below } = file
    if (file.blocks !== undefined) await add({ below, identity, blocks: file.blocks })
    else
      for await (const piece of inPieces(blocks, file, signal)) await add({ below, identity, blocks: piece })
  }
  await commit()
}

/** Undefined for a file that cannot be read again. */
function createIdentify(dir: Buffer): (file: WrittenFile) => FileIdentity | undefined {
  const { dev } = fs.lstatSync(dir, { bigint: true })
  const readable = createReadableFiles()
  return ({ below, state }) => {
    const access = state && accessOf(state)
    const known = access !== undefined && readable.has(below, access) ? identityOf(state!, dev) : undefined
    const identity = known ?? lookAt(dir, below)
    if (identity !== undefined && known === undefined && access !== undefined) readable.add(below, access)
    return identity
  }
}

async function* inPieces(
  blocks: BlockStore,
  file: WrittenFile,
  signal: AbortSignal | undefined,
): AsyncGenerator<BackedBlock[], void, undefined> {
  let found: BackedBlock[] = []
  for await (const block of blocksOf(blocks, file, signal)) {
    found.push(block)
    if (found.length < COMMIT_BLOCKS) continue
    yield found
    found = []
  }
  if (found.length > 0) yield found
}

export async function* blocksOf(
  blocks: BlockStore,
  { content, sizeBytes, blocks: known }: Pick<WrittenFile, 'content' | 'sizeBytes' | 'blocks'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<BackedBlock, void, undefined> {
  if (known !== undefined) {
    yield* known
    return
  }
  if (content.code === RAW) {
    yield { key: cidToKeyBytes(content), offset: 0, lengthBytes: sizeBytes }
    return
  }
  const file = { content, sizeBytes }
  for await (const { cid, offset, lengthBytes } of fileParts(blocks, file, undefined, signal))
    yield { key: cidToKeyBytes(cid), offset, lengthBytes }
}
