/** The benchmark of a whole mesh, end to end on a small tree; and its picture. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { drawChart } from '../../scripts/measure/mesh/chart.ts'
import { differencesOf } from '../../scripts/measure/mesh/judge.ts'
import type { MeshDocument } from '../../scripts/measure/mesh/report.ts'
import { makeTorrent } from '../../scripts/measure/mesh/torrent.ts'
import { editTree, weighTree } from '../../scripts/measure/mesh/tree.ts'
import { listNamespaces } from '../../topology/emulator/namespaces.ts'
import { skipWithout } from '../needs.ts'

const root = resolve(import.meta.dirname, '../..')
const bench = join(root, 'scripts/bench')

const skip = skipWithout('gcc', 'ip', 'nsenter', 'rsync')

test('the bench of a mesh brings a tree to every site, and says what it took', {
  skip,
  timeout: 400_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-bench-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const tree = join(folder, 'tree')
  cpSync(join(root, 'src/dag'), tree, { recursive: true })
  const picture = join(folder, 'picture.svg')
  const { stdout } = await promisify(execFile)(
    bench,
    [
      ...['mesh', join(root, 'topology/tiny.yaml'), '--tree', tree, '--json', '--svg', picture],
      ...['--systems', 'mirrormesh,rsync-tiers-z'],
    ],
    { env: { ...process.env, TMPDIR: folder }, maxBuffer: 1 << 24 },
  )
  const { runs, travelBytes, tree: weighed, boundSeconds, failed } = JSON.parse(stdout) as MeshDocument
  assert.deepEqual(failed, [])
  assert.deepEqual(
    runs.map(({ system, identicalSites, wrong }) => ({ system, identicalSites, wrong })),
    [
      { system: 'mirrormesh', identicalSites: 2, wrong: [] },
      { system: 'rsync in two tiers -z', identicalSites: 2, wrong: [] },
    ],
  )
  assert.equal(weighed.files, readdirSync(join(root, 'src/dag')).length)
  assert.ok(travelBytes! > 0 && travelBytes! < weighed.bytes)
  // 100 Mbit/s.
  assert.ok(Math.abs(boundSeconds! - (travelBytes! * 8) / 1e8) < 1e-6)
  for (const { lastSeconds, originBytes, regions, cpuSeconds } of runs) {
    assert.ok(lastSeconds! > boundSeconds!)
    assert.ok(cpuSeconds > 0)
    const eu = regions.find(({ region }) => region === 'eu')!
    // What was under way when the counters were read first had left the origin before: a few packets of gossip.
    assert.ok(eu.inBytes > 0 && eu.inBytes <= originBytes * 1.01 + 16_384, `${eu.inBytes} of ${originBytes}`)
  }
  assert.ok(runs[0]!.originBytes > travelBytes!)
  const { phases, given, duplicatePercent } = runs[0]!.mesh!
  assert.deepEqual(
    phases.map(({ name }) => name),
    ['published', 'complete everywhere', 'checked out everywhere'],
  )
  assert.ok(phases.every(({ seconds }, i) => i === 0 || seconds >= phases[i - 1]!.seconds))
  assert.ok(given['hq eu-1']! + given['hq eu-2']! >= travelBytes!)
  assert.ok(duplicatePercent < 50)
  assert.match(readFileSync(picture, 'utf8'), /mirrormesh: [\d.]+ s/)
  assert.deepEqual(readdirSync(folder).sort(), ['picture.svg', 'tree'])
  assert.ok(!listNamespaces().some(({ name }) => name.endsWith('-eu-1') && !isAlive(name)))
})

test('the next version of a tree differs in every fiftieth file and the name of its largest folder', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-bench-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const tree = weighTree(join(root, 'src'))
  const next = editTree(tree, join(folder, 'next'))
  assert.equal(next.files, tree.files)
  const renamed = readdirSync(next.path).filter((name) => name.endsWith('-renamed'))
  assert.equal(renamed.length, 1)
  const [largest] = renamed[0]!.split('-renamed')
  renameSync(join(next.path, renamed[0]!), join(next.path, largest!))
  const edited = differencesOf(tree.path, next.path, 'bytes')
  assert.equal(edited.length, Math.floor(tree.files / 50))
  assert.ok(edited.every((each) => each.endsWith(': other bytes')))
})

/** Of the process that its namespace is named after. */
function isAlive(namespace: string): boolean {
  try {
    process.kill(Number.parseInt(namespace.split('-')[1]!, 10), 0)
    return true
  } catch {
    return false
  }
}

test('the bench of a mesh refuses systems that there are not', async () => {
  await assert.rejects(
    promisify(execFile)(bench, ['mesh', 'topology/tiny.yaml', '--systems', 'mirrormesh,ftp']),
    { code: 2, stderr: /there is no system "ftp"/ },
  )
})

test('the picture has a step for each site, the bound, and a name for each system', () => {
  const svg = drawChart({
    title: 'a < b',
    sites: 3,
    lines: [
      { name: 'one', arrivals: [10, 20, 30] },
      { name: 'two', arrivals: [40] },
    ],
    bound: 8,
  })
  assert.match(svg, /^<svg [^>]+>\n/)
  assert.match(svg, /a &lt; b/)
  assert.match(svg, /one: 30\.0 s/)
  assert.match(svg, /two: not done/)
  assert.match(svg, /bound 8\.0 s/)
  const [first, second] = [...svg.matchAll(/<path d="(M[^"]+)" fill="none"/g)].map(([, path]) => path!)
  assert.equal(first!.match(/V/g)!.length, 3)
  assert.equal(second!.match(/V/g)!.length, 1)
})

test('a copy that lost a byte, a file or a mode is told from the tree', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-bench-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const [tree, copy] = [join(folder, 'tree'), join(folder, 'copy')]
  execFileSync('cp', ['-a', join(root, 'src/topology'), tree])
  execFileSync('cp', ['-a', tree, copy])
  assert.deepEqual(differencesOf(tree, copy, 'everything'), [])
  assert.deepEqual(differencesOf(tree, copy, 'bytes'), [])
  execFileSync('chmod', ['700', join(copy, 'subnet.ts')])
  assert.equal(differencesOf(tree, copy, 'everything').length, 1)
  assert.deepEqual(differencesOf(tree, copy, 'bytes'), [])
  execFileSync('sh', ['-c', 'printf x >> "$1/topology.ts"; rm "$1/subnet.ts"', 'sh', copy])
  assert.deepEqual(differencesOf(tree, copy, 'bytes').toSorted(), [
    'subnet.ts is missing',
    'topology.ts: other bytes',
  ])
})

test('a torrent lists every file and hashes all bytes in pieces', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'mirrormesh-bench-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'it.torrent')
  const hash = makeTorrent(join(root, 'src/topology'), 'http://10.0.0.1:6969/announce', file)
  const text = readFileSync(file, 'latin1')
  assert.match(hash, /^[0-9a-f]{40}$/)
  assert.match(text, /^d8:announce29:http:\/\/10\.0\.0\.1:6969\/announce4:infod5:filesl/)
  for (const name of readdirSync(join(root, 'src/topology')))
    assert.ok(text.includes(`4:pathl${name.length}:${name}e`), name)
  // One piece of SHA-1 for each 256 KiB, and these are far fewer bytes.
  assert.match(text, /4:name8:topology12:piece lengthi262144e6:pieces20:/)
})
