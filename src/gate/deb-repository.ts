/**
 * A suite of a Debian archive: (In)Release lists metadata files with SHA-256 and size, and Packages lists name the
 * packages from the archive's root, which is where `dists` lies.
 * Source of the format: https://wiki.debian.org/DebianRepository/Format.
 */
import { asMirrorError } from '../base/errors.ts'
import { checkPackage, type RepositoryJob } from './repository-job.ts'
import { canUnpack, unpack } from './unpack.ts'

const MAX_RELEASE_BYTES = 16 * 1024 * 1024
/** A field of a stanza is never longer; what is would be held in memory. */
const MAX_LINE_CHARACTERS = 8 * 1024 * 1024
const LISTED = /^ ([0-9a-f]{64}) +(\d+) +(\S+)$/
const PACKAGES = /^(?:.*\/)?Packages(?:\.[a-z0-9]+)?$/

interface ListedFile {
  readonly path: string
  readonly sizeBytes: number
  readonly sha256: string
}

export async function checkDebRepository(job: RepositoryJob, signal?: AbortSignal): Promise<void> {
  const { files, path, verdict } = job
  const suite = path.slice(0, path.lastIndexOf('/') + 1)
  const archive = suite.slice(0, suite.lastIndexOf('dists/'))
  const index = await files.find(path)
  if (index?.type !== 'file') return
  const text = await files.readText(index, MAX_RELEASE_BYTES)
  if (text === undefined) return verdict.close(`${path} is larger than ${MAX_RELEASE_BYTES} bytes`)
  const listed = readRelease(text)
  if (listed.length === 0) verdict.close(`${path} lists no file with a SHA-256`)
  /** By name without the packing: the ways in which one list is there. */
  const lists = new Map<string, string[]>()
  for (const file of listed) {
    signal?.throwIfAborted()
    const isPackages = PACKAGES.test(file.path)
    const list = file.path.replace(/\.[a-z0-9]+$/, '')
    if (isPackages && !lists.has(list)) lists.set(list, [])
    const name = `${suite}${file.path}`
    const entry = await files.find(name)
    // A mirror of some architectures, or of one packing, lacks the rest; apt does not ask for it.
    if (entry?.type !== 'file') continue
    if (entry.sizeBytes !== file.sizeBytes)
      verdict.close(`${name} has ${entry.sizeBytes} bytes where ${path} says ${file.sizeBytes}`)
    else if ((await files.digest(entry, 'sha256')) !== file.sha256)
      verdict.close(`${name} has another SHA-256 than ${path} says`)
    else if (isPackages) lists.get(list)!.push(name)
  }
  let present = 0
  for (const names of lists.values()) {
    if (names.length === 0) continue
    present += 1
    const readable = names.find(canUnpack)
    if (readable !== undefined) await checkPackages(job, archive, readable, signal)
    else verdict.note(`the packages of ${names[0]} were not checked: its compression cannot be read here`)
  }
  if (lists.size > 0 && present === 0) verdict.close(`none of the Packages lists that ${path} names is there`)
}

async function checkPackages(
  job: RepositoryJob,
  archive: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const entry = await job.files.find(path)
  if (entry?.type !== 'file') return
  let name: string | undefined
  let sizeBytes: number | undefined
  const end = async (): Promise<void> => {
    if (name !== undefined) await checkPackage(job, { path: `${archive}${name}`, sizeBytes, listedIn: path })
    name = undefined
    sizeBytes = undefined
  }
  try {
    let rest = ''
    for await (const text of unpack(job.files, entry, path)) {
      signal?.throwIfAborted()
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      if (rest.length > MAX_LINE_CHARACTERS)
        throw new Error(`a line is over ${MAX_LINE_CHARACTERS} characters`)
      for (const line of lines) {
        if (line === '') await end()
        else if (line.startsWith('Filename: ')) name = line.slice('Filename: '.length).trim()
        else if (line.startsWith('Size: ')) sizeBytes = Number(line.slice('Size: '.length))
      }
    }
    await end()
  } catch (error) {
    signal?.throwIfAborted()
    job.verdict.close(`${path} cannot be read: ${asMirrorError(error, 'read it').message}`)
  }
}

/** The files below `SHA256:`. A signature around them, as InRelease has, does not matter here: apt checks it. */
function readRelease(text: string): ListedFile[] {
  const found: ListedFile[] = []
  let isWanted = false
  for (const line of text.split('\n')) {
    if (!line.startsWith(' ')) isWanted = line.startsWith('SHA256:')
    else if (isWanted) {
      const [, sha256, size, path] = LISTED.exec(line.trimEnd()) ?? []
      if (sha256 !== undefined && path !== undefined) found.push({ path, sizeBytes: Number(size), sha256 })
    }
  }
  return found
}
