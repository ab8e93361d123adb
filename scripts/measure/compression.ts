/**
 * `npm run bench:compression -- DIR`: what zstd makes of blocks by the kind of their content, and which cheap look at a
 * block tells beforehand that compressing it does not pay. DIR was filled by `npm run bench:chunks -- --fetch DIR`.
 * Prints JSON, or tables with --markdown.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { constants, zstdCompressSync } from 'node:zlib'
import { cutAll, DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { parseOptions, refuse } from '../options.ts'
import { rounded, table } from './markdown.ts'
import { machine, median } from './run.ts'

const HELP = `usage: npm run bench:compression -- DIR [--megabytes N] [--rounds N] [--markdown]

Cuts up to N MB (default 48) of each kind of content in DIR into blocks and compresses each of them by itself, at levels 1
and 3. Medians of --rounds rounds (default 3). DIR comes from: npm run bench:chunks -- --fetch DIR
`
/** Kinds of content, and where in DIR they are found. */
const KINDS: readonly { readonly name: string; readonly folder: string; readonly files: RegExp }[] = [
  { name: 'text: kernel source', folder: 'trees/kernel-6.1-source/new', files: /\.(c|h|rst|S)$/ },
  { name: 'text: JavaScript', folder: 'trees/typescript-5.9/new', files: /\.(js|ts)$/ },
  { name: 'binary: node', folder: 'trees/node-25.8/new', files: /\/bin\/node$/ },
  { name: 'binaries: kernel modules', folder: 'trees/kernel-6.1-modules/new', files: /\.ko$/ },
  { name: 'tar of kernel modules', folder: 'images/kernel-6.1-modules/new', files: /\.tar$/ },
  { name: 'packages: .deb', folder: 'packages/debian-12/new', files: /\.deb$/ },
]
const LEVELS = [1, 3] as const
/** A block pays when compressed it saves a sixteenth: less is not worth the time to decompress it. */
const PAYS_AT_MOST = 15 / 16
const SAMPLE_BYTES = 8 * 1024
/** Entropy, in bits a byte, from which on a block is taken for compressed already. */
const RANDOM_BITS = 7.8

/** Of `entropy`; above the code that runs as the file is read. */
const counts = new Uint32Array(256)

interface Test {
  readonly name: string
  pays(block: Uint8Array): boolean
}

/** Cheap looks at a block. Each says whether to compress it. */
const TESTS: readonly Test[] = [
  { name: 'zstd -1 of the first 8 KiB', pays: (block) => shrinks(block.subarray(0, SAMPLE_BYTES)) },
  { name: 'zstd -1 of 8 KiB in the middle', pays: (block) => shrinks(middle(block)) },
  { name: 'zstd -1 of the first 2 KiB', pays: (block) => shrinks(block.subarray(0, SAMPLE_BYTES / 4)) },
  { name: 'entropy of 1,024 bytes spread over it', pays: (block) => entropy(block, 1024) < RANDOM_BITS },
  { name: 'entropy of 4,096 bytes spread over it', pays: (block) => entropy(block, 4096) < RANDOM_BITS },
  { name: 'entropy of every byte', pays: (block) => entropy(block, block.length) < RANDOM_BITS },
]

const { values, positionals } = parseOptions(
  {
    allowPositionals: true,
    options: {
      megabytes: { type: 'string', default: '48' },
      rounds: { type: 'string', default: '3' },
      markdown: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  },
  { command: 'npm run bench:compression --', help: HELP },
)
const [dir] = positionals
if (dir === undefined) refuse('npm run bench:compression --', 'a folder of builds is needed')

const rounds = Number(values.rounds)
const kinds = KINDS.map((kind) => ({
  name: kind.name,
  blocks: readBlocks(join(dir, kind.folder), kind.files, Number(values.megabytes) * 1e6),
})).filter(({ blocks }) => blocks.length > 0)
const document = {
  machine: machine(),
  rounds,
  content: kinds.map(({ name, blocks }) => ({ name, ...measureContent(blocks) })),
  tests: TESTS.map((test) => measureTest(test)),
}
process.stdout.write(values.markdown ? markdown() : `${JSON.stringify(document, undefined, 2)}\n`)

function measureContent(blocks: readonly Uint8Array[]) {
  const bytes = sum(blocks.map(({ length }) => length))
  return {
    blocks: blocks.length,
    bytes,
    levels: LEVELS.map((level) => {
      const sizes = blocks.map((block) => compress(block, level).length)
      const paying = blocks.filter((block, index) => sizes[index]! <= block.length * PAYS_AT_MOST).length
      const stored = sum(
        blocks.map((block, index) => (isPaying(block, sizes[index]!) ? sizes[index]! : block.length)),
      )
      const seconds = timed(() => {
        for (const block of blocks) compress(block, level)
      })
      return {
        level,
        ratio: bytes / stored,
        payingPercent: (100 * paying) / blocks.length,
        MBps: bytes / 1e6 / seconds,
      }
    }),
  }
}

/** Judged by what compressing the whole block at level 1 gives. */
function measureTest({ name, pays }: Test) {
  let [right, missed, wasted, lostBytes, all, allBytes] = [0, 0, 0, 0, 0, 0]
  for (const block of kinds.flatMap(({ blocks }) => blocks)) {
    const size = compress(block, 1).length
    const [said, is] = [pays(block), isPaying(block, size)]
    all += 1
    allBytes += block.length
    if (said === is) right += 1
    else if (said) wasted += 1
    else {
      missed += 1
      lostBytes += block.length - size
    }
  }
  const seconds = timed(() => {
    for (const { blocks } of kinds) for (const block of blocks) pays(block)
  })
  return {
    name,
    rightPercent: (100 * right) / all,
    missed,
    wasted,
    lostPercentOfBytes: (100 * lostBytes) / allBytes,
    microsecondsPerBlock: (seconds * 1e6) / all,
    MBps: allBytes / 1e6 / seconds,
  }
}

function markdown(): string {
  const content = document.content.flatMap(({ name, blocks, bytes, levels }) =>
    levels.map(({ level, ratio, payingPercent, MBps }) => [
      name,
      `${blocks}`,
      rounded(bytes / 1e6, 1),
      `${level}`,
      rounded(ratio, 2),
      rounded(payingPercent, 1),
      rounded(MBps, 0),
    ]),
  )
  const tests = document.tests.map((test) => [
    test.name,
    rounded(test.rightPercent, 1),
    `${test.missed}`,
    `${test.wasted}`,
    rounded(test.lostPercentOfBytes, 2),
    rounded(test.microsecondsPerBlock, 1),
    rounded(test.MBps, 0),
  ])
  return [
    table(['content', 'blocks', 'MB', 'level', 'ratio', 'pays, %', 'MB/s'], content),
    table(['test', 'right, %', 'missed', 'wasted', 'bytes lost, %', 'us/block', 'MB/s'], tests),
    '',
  ].join('\n\n')
}

function readBlocks(folder: string, files: RegExp, maxBytes: number): Uint8Array[] {
  const blocks: Uint8Array[] = []
  let total = 0
  // Every n-th file, so that a sample is of the whole and not of the first folders.
  const paths = filesBelow(folder, files)
  const all = sum(paths.map((path) => statSync(path).size))
  const step = Math.max(1, Math.floor(all / maxBytes))
  for (let index = 0; index < paths.length && total < maxBytes; index += paths.length > step ? step : 1) {
    const bytes = readFileSync(paths[index]!).subarray(0, maxBytes - total)
    let at = 0
    for (const length of cutAll(DEFAULT_CHUNKER, bytes)) {
      blocks.push(bytes.subarray(at, at + length))
      at += length
    }
    total += bytes.length
  }
  return blocks
}

function filesBelow(folder: string, files: RegExp): string[] {
  let entries: import('node:fs').Dirent[]
  try {
    entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => files.test(path))
    .sort()
}

function compress(block: Uint8Array, level: number): Uint8Array {
  return zstdCompressSync(block, { params: { [constants.ZSTD_c_compressionLevel]: level } })
}

function isPaying(block: Uint8Array, compressedBytes: number): boolean {
  return compressedBytes <= block.length * PAYS_AT_MOST
}

function shrinks(sample: Uint8Array): boolean {
  return isPaying(sample, compress(sample, 1).length)
}

function middle(block: Uint8Array): Uint8Array {
  const start = Math.max(0, (block.length - SAMPLE_BYTES) >> 1)
  return block.subarray(start, start + SAMPLE_BYTES)
}

/** In bits a byte, of about `sample` bytes at even distances. */
function entropy(block: Uint8Array, sample: number): number {
  const step = Math.max(1, Math.floor(block.length / sample))
  counts.fill(0)
  let all = 0
  for (let at = 0; at < block.length; at += step) {
    counts[block[at]!]! += 1
    all += 1
  }
  let bits = 0
  for (const count of counts) if (count > 0) bits -= count * Math.log2(count / all)
  // A short sample looks less even than it is: Miller's correction.
  return bits / all + 255 / (2 * all * Math.LN2)
}

function timed(work: () => void): number {
  return median(
    Array.from({ length: rounds }, () => {
      const startMs = performance.now()
      work()
      return (performance.now() - startMs) / 1000
    }),
  )
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
