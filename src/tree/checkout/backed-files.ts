/** The files of a check-out that was just written, as a backing commits them: with the chunks they hold. */
import fs from 'node:fs'
import { cidToKeyBytes, RAW } from '../../block/cid.ts'
import { fileParts } from '../../dag/reader.ts'
import type { BackedBlock, BackedFile, BlockBackings } from '../../store/block-backings.ts'
import type { BlockStore } from '../../store/block-store.ts'
import { accessOf, identityOf } from '../manifest/file-state.ts'
import { createReadableFiles, lookAt } from './readable-files.ts'
import type { WrittenFile } from './written-files.ts'

const COMMIT_BLOCKS = 4096

/** @param backing asked for its id once there is a file to commit */
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
    if (batch.length > 0) await backings.commit(await backing(), batch)
    batch = []
    count = 0
  }
  for await (const file of withIdentity(blocks, files, dir, signal)) {
    batch.push(file)
    count += file.blocks.length
    if (count >= COMMIT_BLOCKS) await commit()
  }
  await commit()
}

async function* withIdentity(
  blocks: BlockStore,
  written: AsyncIterable<WrittenFile>,
  dir: Buffer,
  signal: AbortSignal | undefined,
): AsyncGenerator<BackedFile, void, undefined> {
  const { dev } = fs.lstatSync(dir, { bigint: true })
  const readable = createReadableFiles()
  for await (const file of written) {
    const { below, state } = file
    const access = state && accessOf(state)
    const known = access !== undefined && readable.has(below, access) ? identityOf(state!, dev) : undefined
    const identity = known ?? lookAt(dir, below)
    // Its blocks stay in packs.
    if (identity === undefined) continue
    if (known === undefined && access !== undefined) readable.add(below, access)
    yield* inPieces(blocks, file, { below, identity }, signal)
  }
}

async function* inPieces(
  blocks: BlockStore,
  file: WrittenFile,
  backed: Omit<BackedFile, 'blocks'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<BackedFile, void, undefined> {
  let found: BackedBlock[] = []
  for await (const block of blocksOf(blocks, file, signal)) {
    found.push(block)
    if (found.length < COMMIT_BLOCKS) continue
    yield { ...backed, blocks: found }
    found = []
  }
  if (found.length > 0) yield { ...backed, blocks: found }
}

export async function* blocksOf(
  blocks: BlockStore,
  { content, sizeBytes }: Pick<WrittenFile, 'content' | 'sizeBytes'>,
  signal: AbortSignal | undefined,
): AsyncGenerator<BackedBlock, void, undefined> {
  if (content.code === RAW) {
    yield { key: cidToKeyBytes(content), offset: 0, lengthBytes: sizeBytes }
    return
  }
  const file = { content, sizeBytes }
  for await (const { cid, offset, lengthBytes } of fileParts(blocks, file, undefined, signal))
    yield { key: cidToKeyBytes(cid), offset, lengthBytes }
}
