/**
 * A repository as createrepo_c writes it: repodata/repomd.xml names the metadata files with sizes and digests, and its
 * `primary` list names the packages.
 * Source of the format: createrepo_c's own output, and https://rpm-software-management.github.io/createrepo_c/.
 */
import { SaxesParser } from 'saxes'
import { asMirrorError } from '../base/errors.ts'
import { checkPackage, type RepositoryJob } from './repository-job.ts'
import { canUnpack, unpack } from './unpack.ts'

/** dnf itself takes no larger one. */
const MAX_REPOMD_BYTES = 5 * 1024 * 1024
const DIGESTS = new Set(['sha1', 'sha224', 'sha256', 'sha384', 'sha512'])
/** Packages that wait between two checks of a batch of text. */
type Listed = { path: string; sizeBytes: number | undefined }

interface DataFile {
  readonly type: string
  path?: string
  sizeBytes?: number
  digest?: { algorithm: string; hex: string }
}

export async function checkRpmRepository(job: RepositoryJob, signal?: AbortSignal): Promise<void> {
  const { files, path, verdict } = job
  const base = path.slice(0, -'repodata/repomd.xml'.length)
  const index = await files.find(path)
  if (index?.type !== 'file') return
  const text = await files.readText(index, MAX_REPOMD_BYTES)
  if (text === undefined) return verdict.close(`${path} is larger than ${MAX_REPOMD_BYTES} bytes`)
  let listed: DataFile[]
  try {
    listed = readRepomd(text)
  } catch (error) {
    return verdict.close(`${path} is not XML: ${reasonOf(error)}`)
  }
  if (!listed.some(({ type }) => type === 'primary')) verdict.close(`${path} names no primary list`)
  for (const data of listed) {
    if (data.path === undefined) continue
    const isWhole = await checkDataFile(job, base, data)
    if (data.type !== 'primary' || !isWhole) continue
    const primary = `${base}${data.path}`
    if (canUnpack(primary)) await checkPrimary(job, base, primary, signal)
    else verdict.note(`the packages of ${primary} were not checked: its compression cannot be read here`)
  }
}

async function checkDataFile(
  { files, path, verdict }: RepositoryJob,
  base: string,
  { path: location, sizeBytes, digest }: DataFile,
): Promise<boolean> {
  const name = `${base}${location}`
  const entry = await files.find(name)
  if (entry?.type !== 'file') {
    verdict.close(`${name} is not there, and ${path} names it`)
    return false
  }
  if (sizeBytes !== undefined && entry.sizeBytes !== sizeBytes) {
    verdict.close(`${name} has ${entry.sizeBytes} bytes where ${path} says ${sizeBytes}`)
    return false
  }
  if (digest === undefined || !DIGESTS.has(digest.algorithm)) return true
  if ((await files.digest(entry, digest.algorithm)) === digest.hex) return true
  verdict.close(`${name} has another ${digest.algorithm} than ${path} says`)
  return false
}

async function checkPrimary(
  job: RepositoryJob,
  base: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const entry = await job.files.find(path)
  if (entry?.type !== 'file') return
  const ready: Listed[] = []
  const parser = createPrimaryParser((each) => ready.push(each))
  try {
    for await (const text of unpack(job.files, entry, path)) {
      signal?.throwIfAborted()
      parser.write(text)
      for (const { path: location, sizeBytes } of ready.splice(0))
        await checkPackage(job, { path: `${base}${location}`, sizeBytes, listedIn: path })
    }
    parser.close()
  } catch (error) {
    signal?.throwIfAborted()
    job.verdict.close(`${path} cannot be read: ${reasonOf(error)}`)
  }
}

function readRepomd(text: string): DataFile[] {
  const found: DataFile[] = []
  let data: DataFile | undefined
  let algorithm = ''
  let content = ''
  const parser = strictParser()
  parser.on('opentag', ({ name, attributes }) => {
    content = ''
    const tag = localName(name)
    if (tag === 'data') {
      data = { type: attributes.type ?? '' }
      found.push(data)
    } else if (tag === 'checksum') algorithm = (attributes.type ?? '').replace(/^sha$/, 'sha1')
    else if (tag === 'location' && data !== undefined && attributes.href !== undefined)
      data.path = attributes.href
  })
  parser.on('text', (part) => {
    content += part
  })
  parser.on('closetag', ({ name }) => {
    const tag = localName(name)
    if (data === undefined) return
    if (tag === 'data') data = undefined
    else if (tag === 'checksum') data.digest = { algorithm, hex: content.trim().toLowerCase() }
    else if (tag === 'size') data.sizeBytes = Number(content.trim())
  })
  parser.write(text).close()
  return found
}

/** Of the list only what places and sizes say; a package elsewhere (xml:base) is not this tree's. */
function createPrimaryParser(add: (listed: Listed) => void): SaxesParser {
  let path: string | undefined
  let sizeBytes: number | undefined
  const parser = strictParser()
  parser.on('opentag', ({ name, attributes }) => {
    const tag = localName(name)
    if (tag === 'package') {
      path = undefined
      sizeBytes = undefined
    } else if (tag === 'size' && attributes.package !== undefined) sizeBytes = Number(attributes.package)
    else if (tag === 'location' && attributes['xml:base'] === undefined) path = attributes.href
  })
  parser.on('closetag', ({ name }) => {
    if (localName(name) === 'package' && path !== undefined) add({ path, sizeBytes })
  })
  return parser
}

function strictParser(): SaxesParser {
  const parser = new SaxesParser({})
  parser.on('error', (error) => {
    throw error
  })
  return parser
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1)
}

function reasonOf(error: unknown): string {
  return asMirrorError(error, 'read it').message
}
