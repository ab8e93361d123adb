import type { Block } from '../../block/block.ts'
import { CID_KEY_BYTES, cidToKeyBytes } from '../../block/cid.ts'
import { encodeEntry } from '../../dag/entry.ts'
import { readOwnerNames } from '../../posix/owners.ts'
import { createEntryStack } from '../spool/entry-stack.ts'
import { createFileScratch } from '../spool/file-scratch.ts'
import type { RecordWindow } from '../spool/record-bytes.ts'
import { createRecordReader } from '../spool/record-bytes.ts'
import { createCacheFile } from '../stat-cache/file.ts'
import type { StatCacheWriter } from '../stat-cache/writer.ts'
import { createStatCacheWriter } from '../stat-cache/writer.ts'
import type { Asking } from '../thread.ts'
import type { BlockAnswer, BlockQuestion } from './block-questions.ts'
import { createBlockSink, sharedBlocks } from './block-sink.ts'
import { createGroupStates } from './group-states.ts'
import type { BuildAnswer, BuildInput, BuildQuestion, BuildResult } from './import-threads.ts'
import { createTreeBuilder } from './tree-builder.ts'

const RUN_BLOCKS = 256
const RUN_BYTES = 4 * 1024 * 1024

/** From what was scanned and read to the DAG, in the tree thread of an import. @param memberCounts of the scan */
export function runBuild(
  input: BuildInput,
  memberCounts: Uint32Array,
  main: Asking<BuildQuestion, BuildAnswer>,
): BuildResult {
  const { rootPath, below, spoolFd, spillFd, tempDir, compression, isPrivate, cache } = input
  const sink = createBlockSink(main as Asking<BlockQuestion, BlockAnswer>, { compression, isPrivate })
  const { keys, lengths } = sharedBlocks(RUN_BLOCKS)
  let run: Block[] = []
  let runBytes = 0

  function storeRun(): void {
    const blocks = run
    blocks.forEach(({ cid, bytes }, index) => {
      keys.set(cidToKeyBytes(cid), index * CID_KEY_BYTES)
      lengths[index] = bytes.length
    })
    sink.offer({ count: blocks.length, keys, lengths, bytesOf: (index) => blocks[index]!.bytes })()
    run = []
    runBytes = 0
  }

  const builder = createTreeBuilder(
    {
      owners: readOwnerNames(),
      stack: createEntryStack(spillFd),
      groups: createGroupStates(tempDir),
      scratch: createFileScratch(tempDir),
      emit(block) {
        run.push(block)
        runBytes += block.bytes.length
        if (run.length >= RUN_BLOCKS || runBytes >= RUN_BYTES) storeRun()
      },
    },
    { memberCounts, rootPath, ...(below === undefined ? {} : { below }) },
  )
  const nextCache = createCache(cache)
  const recordWindow: RecordWindow = {}
  const resultWindow: RecordWindow = {}
  for (;;) {
    const answer = main.ask({ kind: 'next' })
    if (answer.kind !== 'batch' || answer.batch === undefined) break
    const { records, results } = answer.batch
    for (const consumer of cache === undefined ? [builder] : [builder, nextCache]) {
      consumer.add(
        createRecordReader(spoolFd, records.startByte, records.endByte, recordWindow),
        results && createRecordReader(results.fd, results.startByte, results.endByte, resultWindow),
      )
    }
  }
  const { root, index, counts, uncaptured } = builder.finish()
  storeRun()
  sink.finish()
  return {
    root: encodeEntry(root),
    indexKey: cidToKeyBytes(index),
    counts,
    uncaptured,
    ...nextCache.end(),
  }
}

/** A cache that cannot be written, on a full disk say, is none: the import goes on. */
function createCache(cache: BuildInput['cache']): Pick<StatCacheWriter, 'add'> & {
  end(): Pick<BuildResult, 'cacheEnd' | 'cacheProblem'>
} {
  let cacheProblem: string | undefined
  function attempt<T>(work: () => T): T | undefined {
    if (cacheProblem !== undefined) return undefined
    try {
      return work()
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (typeof code !== 'string') throw error
      cacheProblem = message
      return undefined
    }
  }
  const file = cache && attempt(() => createCacheFile(cache.fd, cache.subject))
  const writer = file && cache && createStatCacheWriter(file.records, cache.limits)
  return {
    add: (records, results) => attempt(() => writer?.add(records, results)),
    end() {
      const cacheEnd = attempt(() => {
        writer?.end()
        return file?.end()
      })
      if (cacheProblem !== undefined) return { cacheProblem }
      return cacheEnd === undefined ? {} : { cacheEnd }
    },
  }
}
