/**
 * The files of the web console, ready to be sent: the page, its style sheets, and the modules that its first module
 * leads to, and no others. From sources the types are stripped here; what `npm run build` made is taken as it is.
 *
 * The two packages that the console uses come from where this program finds its own, through an import map in the page;
 * nothing is loaded from anywhere else. The map is the only inline script, and the policy names it by its hash.
 * Every address but the page's holds a hash of all the files, so a browser may keep them for good.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire, stripTypeScriptTypes } from 'node:module'
import { dirname, extname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants } from 'node:zlib'
import { MirrorError } from '../src/base/errors.ts'
import type { ConsoleFile, ConsoleFiles } from './api/routes/console-routes.ts'

const ROOT = join(import.meta.dirname, '..')
const CONSOLE = 'node/console'
const PACKAGES = { preact: 'preact', 'preact/hooks': 'preact/hooks', htm: 'htm' }
const IS_SOURCE = extname(fileURLToPath(import.meta.url)) === '.ts'
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

let known: ConsoleFiles | undefined

/** Made when it is first asked for, then kept: a few hundred kilobytes. */
export function loadConsoleAssets(): ConsoleFiles {
  known ??= makeAssets()
  return known
}

function makeAssets(): ConsoleFiles {
  const modules = readModules(join(CONSOLE, IS_SOURCE ? 'main.ts' : 'main.js'))
  const packages = new Map(
    Object.entries(PACKAGES).map(([name, specifier]) => [name, readPackage(specifier)] as const),
  )
  const styles = listStyles()
  const icon = readFileSync(join(ROOT, CONSOLE, 'icon.svg'), 'utf8')
  const hash = createHash('sha256')
  for (const text of [...modules.values(), ...packages.values(), ...styles.values(), icon]) hash.update(text)
  const release = hash.digest('base64url').slice(0, 12)

  const files = new Map<string, ConsoleFile>()
  const add = (path: string, text: string, cacheControl = 'public, max-age=31536000, immutable'): void => {
    const body = Buffer.from(text)
    files.set(path, {
      type: TYPES[extname(path)] ?? 'text/html; charset=utf-8',
      body,
      compressed: brotliCompressSync(body, {
        params: { [constants.BROTLI_PARAM_QUALITY]: 10, [constants.BROTLI_PARAM_SIZE_HINT]: body.length },
      }),
      cacheControl,
      etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
    })
  }
  const imports = Object.fromEntries(
    [...packages].map(([name]) => [name, `/console/${release}/packages/${name}.js`]),
  )
  for (const [name, text] of packages) add(`${release}/packages/${name}.js`, text)
  for (const [path, text] of modules) add(`${release}/${path}`, text)
  for (const [name, text] of styles) add(`${release}/${name}`, text)
  add(`${release}/icon.svg`, icon)
  const map = JSON.stringify({ imports })
  add(
    '',
    pageOf({
      map,
      icon: `${release}/icon.svg`,
      styles: [...styles.keys()].map((name) => `${release}/${name}`),
      // All at once: a module that is found in another one only costs a round trip for each level.
      modules: [...modules.keys()].map((path) => `${release}/${path}`),
      packages: Object.values(imports),
    }),
    'no-cache',
  )
  const scripts = `'self' 'sha256-${createHash('sha256').update(map).digest('base64')}'`
  return {
    files,
    contentSecurityPolicy: [
      "default-src 'none'",
      `script-src ${scripts}`,
      "style-src 'self'",
      "img-src 'self' data:",
      "connect-src 'self'",
      "form-action 'self'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
  }
}

/** `import ... from`, `export ... from` and `import '...'` at the beginning of a line, `import('...')` anywhere. */
const IMPORT =
  /^(?:import|export)\s+(?:[\w*\s{},]+?\s*\bfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm
const TYPES_ONLY = /^(?:import|export) type [^'"]*?from ['"][^'"]+['"];?$/gm

/** The first module and all that it leads to, the first one first. */
function readModules(first: string): Map<string, string> {
  const found = new Map<string, string>()
  const visit = (path: string): void => {
    if (found.has(path)) return
    const source = readFileSync(join(ROOT, path), 'utf8')
    const text = IS_SOURCE ? stripTypeScriptTypes(source.replace(TYPES_ONLY, '')) : source
    found.set(path, text)
    for (const [, stated, called] of text.matchAll(IMPORT)) {
      const specifier = stated ?? called ?? ''
      if (specifier.startsWith('.')) visit(join(dirname(path), specifier))
      else if (!(specifier in PACKAGES)) {
        throw new MirrorError(
          'internal',
          `${path} imports ${specifier}, which the console does not bring along`,
        )
      }
    }
  }
  visit(first)
  return found
}

const require = createRequire(import.meta.url)

function readPackage(specifier: string): string {
  const file = fileURLToPath(import.meta.resolve(specifier))
  // Of a package that offers both, `require` and `import` name different files: a browser takes the second.
  const text = readFileSync(existsSync(file) ? file : require.resolve(specifier), 'utf8')
  return text.replace(/\n?\/\/# sourceMappingURL=.*\s*$/, '\n')
}

function listStyles(): Map<string, string> {
  const dir = join(ROOT, CONSOLE, 'style')
  return new Map(
    readdirSync(dir)
      .filter((name) => name.endsWith('.css'))
      .toSorted()
      .map((name) => [`style/${name}`, readFileSync(join(dir, name), 'utf8')]),
  )
}

function pageOf(parts: {
  readonly map: string
  readonly icon: string
  readonly styles: readonly string[]
  readonly modules: readonly string[]
  readonly packages: readonly string[]
}): string {
  const { map, icon, styles, modules, packages } = parts
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>mirrormesh</title>
<link rel="icon" href="/console/${icon}">
${styles.map((path) => `<link rel="stylesheet" href="/console/${path}">`).join('\n')}
<script type="importmap">${map}</script>
${packages.map((path) => `<link rel="modulepreload" href="${path}">`).join('\n')}
${modules.map((path) => `<link rel="modulepreload" href="/console/${relative('.', path)}">`).join('\n')}
<script type="module" src="/console/${modules[0]}"></script>
</head>
<body>
<div id="app"><noscript>The console needs JavaScript. The same facts, in a terminal: mirrormesh status</noscript></div>
</body>
</html>
`
}
