/**
 * Holds the code to the layer table: imports point down, one door for each dependency, no cycles.
 * The table is the one printed in README.md; a folder that is not in it fails.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '../..')

/** What each folder may import of ours, itself included. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  'src/base': [],
  'src/posix': ['src/base'],
  'src/block': ['src/base', 'src/posix'],
  'src/dag': ['src/base', 'src/posix', 'src/block'],
  'src/delta': ['src/base', 'src/posix', 'src/block', 'src/dag'],
  'src/gate': ['src/base', 'src/posix', 'src/block', 'src/dag'],
  'src/topology': ['src/base'],
  'src/record': ['src/base', 'src/posix', 'src/block', 'src/topology'],
  'src/store': ['src/base', 'src/posix', 'src/block', 'src/dag', 'src/record', 'src/topology'],
  'src/tree': ['src/base', 'src/posix', 'src/block', 'src/dag', 'src/record', 'src/topology', 'src/store'],
  'src/net': ['src/base', 'src/posix', 'src/block', 'src/dag', 'src/record', 'src/topology'],
  'src/replica': [
    'src/base',
    'src/posix',
    'src/block',
    'src/dag',
    'src/delta',
    'src/gate',
    'src/record',
    'src/topology',
    'src/store',
    'src/tree',
    'src/net',
  ],
  src: [
    'src/base',
    'src/posix',
    'src/block',
    'src/dag',
    'src/delta',
    'src/gate',
    'src/record',
    'src/topology',
    'src/store',
    'src/tree',
    'src/net',
    'src/replica',
  ],
  node: [
    'src',
    'src/base',
    'src/posix',
    'src/block',
    'src/dag',
    'src/delta',
    'src/gate',
    'src/record',
    'src/topology',
    'src/store',
    'src/tree',
    'src/net',
    'src/replica',
  ],
  // In a browser: of the rest it takes types, and pure modules (see below). Nothing imports it.
  'node/console': ['node', 'src/base', 'src/record', 'src/replica', 'src/topology'],
}

/** Packages that only one folder may import. */
const DOORS: readonly { readonly packages: RegExp; readonly folder: string }[] = [
  { packages: /^(level|classic-level|abstract-level|memory-level)(\/|$)/, folder: 'src/store' },
  {
    packages: /^(libp2p|@libp2p\/[^/]+|@chainsafe\/libp2p-[^/]+|@multiformats\/multiaddr)(\/|$)/,
    folder: 'src/net',
  },
  { packages: /^koffi(\/|$)/, folder: 'src/posix' },
  { packages: /^(@napi-rs\/blake-hash|blake3-wasm)(\/|$)/, folder: 'src/block' },
  { packages: /^ignore(\/|$)/, folder: 'src/tree' },
  { packages: /^@ipld\/dag-cbor(\/|$)/, folder: 'src/block' },
  { packages: /^(preact|htm)(\/|$)/, folder: 'node/console' },
  { packages: /^(commander|fastify|zod|yaml|pino|prom-client)(\/|$)/, folder: 'node' },
]

interface Import {
  readonly from: string
  readonly specifier: string
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.parentPath.includes('chunker-wasm'),
    )
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
  const found: Import[] = []
  const pattern = /(?:\bfrom\s*|\bimport\s*\(\s*|\bimport\s+|\brequire\s*\(\s*)['"]([^'"]+)['"]/g
  for (const match of text.matchAll(pattern)) found.push({ from: file, specifier: match[1]! })
  return found
}

function layerOf(file: string): string {
  const parts = file.split(sep)
  if (parts[0] === 'node') return parts[1] === 'console' ? 'node/console' : 'node'
  return parts.length > 2 ? `${parts[0]}/${parts[1]}` : 'src'
}

const files = [...sourceFiles('src'), ...sourceFiles('node')]
const imports = files.flatMap(importsOf)

test('imports between folders point down the layer table', () => {
  const wrong: string[] = []
  for (const { from, specifier } of imports) {
    if (!specifier.startsWith('.')) continue
    const layer = layerOf(from)
    const allowed = LAYERS[layer]
    const target = layerOf(relative(root, resolve(root, dirname(from), specifier)))
    if (allowed === undefined) wrong.push(`${from}: the folder ${layer} is not in the layer table`)
    else if (target !== layer && !allowed.includes(target))
      wrong.push(`${from} imports ${specifier}: ${layer} may not import ${target}`)
  }
  assert.deepEqual(wrong, [])
})

test('each outside dependency has one door', () => {
  const wrong: string[] = []
  for (const { from, specifier } of imports) {
    for (const { packages, folder } of DOORS) {
      if (packages.test(specifier) && layerOf(from) !== folder)
        wrong.push(`${from} imports ${specifier}: only ${folder} may`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('what the console runs in a browser leads to no module of Node.js', () => {
  const seen = new Set<string>()
  const wrong: string[] = []
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    const text = readFileSync(join(root, file), 'utf8').replace(
      /^import type [^'"]*from ['"][^'"]+['"]$/gm,
      '',
    )
    const pattern =
      /^(?:import|export)\s+(?:[\w*\s{},]+?\s*\bfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm
    for (const [, stated, called] of text.matchAll(pattern)) {
      const specifier = stated ?? called ?? ''
      if (specifier.startsWith('.')) visit(relative(root, resolve(root, dirname(file), specifier)))
      else if (!/^(preact|htm)(\/|$)/.test(specifier)) wrong.push(`${file} imports ${specifier}`)
    }
  }
  visit('node/console/main.ts')
  assert.ok(seen.size > 10)
  assert.deepEqual(wrong, [])
})

test('no file imports itself through others', () => {
  const edges = new Map<string, string[]>(files.map((file) => [file, []]))
  for (const { from, specifier } of imports) {
    if (specifier.startsWith('.'))
      edges.get(from)?.push(relative(root, resolve(root, dirname(from), specifier)))
  }
  const done = new Set<string>()
  const visit = (file: string, trail: readonly string[]): void => {
    const at = trail.indexOf(file)
    assert.equal(at, -1, `cycle: ${[...trail.slice(at), file].join(' -> ')}`)
    if (done.has(file)) return
    for (const next of edges.get(file) ?? []) visit(next, [...trail, file])
    done.add(file)
  }
  for (const file of files) visit(file, [])
})

test('the folders inside a layer form no circle', () => {
  const folderOf = (file: string): string | undefined => {
    const parts = file.split(sep)
    return parts[0] === 'src' && parts.length > 3 ? parts.slice(0, 3).join('/') : undefined
  }
  const edges = new Map<string, Set<string>>()
  for (const { from, specifier } of imports) {
    if (!specifier.startsWith('.')) continue
    const [folder, target] = [
      folderOf(from),
      folderOf(relative(root, resolve(root, dirname(from), specifier))),
    ]
    if (folder === undefined || target === undefined || folder === target) continue
    edges.set(folder, (edges.get(folder) ?? new Set()).add(target))
  }
  assert.ok(edges.size > 10)
  const visit = (folder: string, trail: readonly string[]): void => {
    const at = trail.indexOf(folder)
    assert.equal(at, -1, `circle: ${[...trail.slice(at), folder].join(' -> ')}`)
    for (const next of edges.get(folder) ?? []) visit(next, [...trail, folder])
  }
  for (const folder of edges.keys()) visit(folder, [])
})

test('every import of ours names a file that exists', () => {
  const known = new Set(files)
  const missing = imports
    .filter(({ specifier }) => specifier.startsWith('.') && specifier.endsWith('.ts'))
    .filter(({ from, specifier }) => !known.has(relative(root, resolve(root, dirname(from), specifier))))
  assert.deepEqual(missing, [])
})

test('the lockfile names no registry and versions are exact', () => {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
  assert.doesNotMatch(lock, /"resolved"/)
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    for (const [name, version] of Object.entries(manifest[kind] ?? {}))
      assert.match(version, /^\d+\.\d+\.\d+$/, name)
  }
})
