/**
 * Content-Type by the end of the name. The bytes are never looked at, and `nosniff` keeps browsers from doing so: a
 * wrong guess can only make a file be downloaded instead of shown.
 */
const TEXT = 'text/plain; charset=utf-8'

const BY_EXTENSION: Readonly<Record<string, string>> = {
  bz2: 'application/x-bzip2',
  conf: TEXT,
  css: 'text/css; charset=utf-8',
  csv: 'text/csv; charset=utf-8',
  deb: 'application/vnd.debian.binary-package',
  efi: 'application/efi',
  gif: 'image/gif',
  gz: 'application/gzip',
  htm: 'text/html; charset=utf-8',
  html: 'text/html; charset=utf-8',
  ico: 'image/vnd.microsoft.icon',
  ini: TEXT,
  iso: 'application/x-iso9660-image',
  jar: 'application/java-archive',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  log: TEXT,
  md: 'text/markdown; charset=utf-8',
  mjs: 'text/javascript; charset=utf-8',
  pdf: 'application/pdf',
  png: 'image/png',
  rpm: 'application/x-rpm',
  sh: TEXT,
  svg: 'image/svg+xml',
  tar: 'application/x-tar',
  txt: TEXT,
  wasm: 'application/wasm',
  webp: 'image/webp',
  woff2: 'font/woff2',
  xml: 'application/xml',
  xz: 'application/x-xz',
  yaml: 'application/yaml',
  yml: 'application/yaml',
  zip: 'application/zip',
  zst: 'application/zstd',
}

const BY_NAME: Readonly<Record<string, string>> = {
  COMPOSE_ID: TEXT,
  InRelease: TEXT,
  LICENSE: TEXT,
  Packages: TEXT,
  README: TEXT,
  Release: TEXT,
  STATUS: TEXT,
  Sources: TEXT,
}

export function contentTypeOf(name: Uint8Array): string {
  const text = Buffer.from(name).toString('latin1')
  const byName = Object.hasOwn(BY_NAME, text) ? BY_NAME[text] : undefined
  if (byName !== undefined) return byName
  const dot = text.lastIndexOf('.')
  const extension = dot <= 0 ? '' : text.slice(dot + 1).toLowerCase()
  return (
    (Object.hasOwn(BY_EXTENSION, extension) ? BY_EXTENSION[extension] : undefined) ??
    'application/octet-stream'
  )
}
