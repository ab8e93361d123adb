/**
 * A file, its size, its hash and where it is, as XML: RFC 5854 (what aria2 and others read), and the older form 3.0 that
 * dnf reads of `repodata/repomd.xml`.
 */
import { decodeUtf8, hex } from '../../src/base/bytes.ts'
import { encodeName } from './request-target.ts'

export const METALINK_TYPE = 'application/metalink4+xml'
export const METALINK3_TYPE = 'application/metalink+xml'

export interface MetalinkFile {
  readonly name: Uint8Array
  readonly sizeBytes: number
  readonly sha256: Uint8Array
  readonly modifiedSec: number
  /** Nearest first. */
  readonly urls: readonly string[]
}

export function metalink4({ name, sizeBytes, sha256, urls }: MetalinkFile): string {
  const links = urls.map((url, at) => `    <url priority="${at + 1}">${escapeXml(url)}</url>\n`)
  return `<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>mirrormesh</generator>
  <file name="${fileName(name)}">
    <size>${sizeBytes}</size>
    <hash type="sha-256">${hex(sha256)}</hash>
${links.join('')}  </file>
</metalink>
`
}

/** As MirrorManager writes it. */
export function metalink3({ name, sizeBytes, sha256, modifiedSec, urls }: MetalinkFile): string {
  const links = urls.map((url, at) => {
    const protocol = url.slice(0, url.indexOf(':'))
    const preference = Math.max(1, 100 - at)
    return `          <url protocol="${protocol}" type="${protocol}" preference="${preference}">${escapeXml(url)}</url>\n`
  })
  return `<?xml version="1.0" encoding="UTF-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" type="dynamic" generator="mirrormesh" xmlns:mm0="http://fedorahosted.org/mirrormanager">
  <files>
    <file name="${fileName(name)}">
      <mm0:timestamp>${modifiedSec}</mm0:timestamp>
      <size>${sizeBytes}</size>
      <verification>
        <hash type="sha256">${hex(sha256)}</hash>
      </verification>
      <resources maxconnections="1">
${links.join('')}      </resources>
    </file>
  </files>
</metalink>
`
}

/** A name that XML cannot say, or that would mean a folder somewhere, goes as it stands in addresses. */
function fileName(name: Uint8Array): string {
  const text = decodeUtf8(name)
  if (text === undefined || !/^[^\p{C}\\/\ufffe\uffff]+$/u.test(text)) return escapeXml(encodeName(name))
  return escapeXml(text)
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
