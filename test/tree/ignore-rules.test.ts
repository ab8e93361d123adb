import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { test } from 'node:test'
import { walk } from '../../src/dag/reader.ts'
import { checkIgnoreRules, createIgnoreRules } from '../../src/tree/ignore-rules.ts'
import { bench, bytesPath } from './trees.ts'

/** Every path of a tree that the rules keep, as a walk that never enters what is excluded finds them. */
function keptBy(rules: readonly string[], tree: readonly string[]): string[] {
  const ignore = createIgnoreRules(rules)
  const excluded: string[] = []
  return tree.filter((entry) => {
    const isDirectory = entry.endsWith('/')
    const path = isDirectory ? entry.slice(0, -1) : entry
    if (excluded.some((dir) => path.startsWith(`${dir}/`))) return false
    if (ignore?.excludes(Buffer.from(path, 'latin1'), isDirectory) !== true) return true
    if (isDirectory) excluded.push(path)
    return false
  })
}

const TREE = [
  'a.tmp',
  'A.TMP',
  'build/',
  'build/out.o',
  'build/keep.o',
  'cache',
  'doc/',
  'doc/build/',
  'doc/build/x',
  'doc/a.txt',
  'doc/deep/',
  'doc/deep/b.txt',
  'logs/',
  'logs/1.log',
  'logs/important.log',
  'with space ',
  '#hash',
  '!bang',
  'a[b]',
  'back\\slash',
  'x1',
  'x2',
  'xy',
  'a\nb',
]

test('rules mean what they mean to git', async (t) => {
  const b = await bench(t)
  const repository = b.at('repository')
  fs.mkdirSync(repository)
  for (const entry of TREE) {
    if (entry.endsWith('/')) fs.mkdirSync(b.at('repository', entry))
    else fs.writeFileSync(b.at('repository', entry), '')
  }
  const git = (...args: string[]) =>
    spawnSync('git', ['-c', 'core.quotePath=false', '-c', 'core.ignoreCase=false', ...args], {
      cwd: repository,
      encoding: 'latin1',
    })
  assert.equal(git('init', '-q').status, 0)
  const cases = [
    ['*.tmp'],
    ['build/'],
    ['/build/'],
    ['build'],
    ['build/*', '!build/keep.o'],
    ['build/', '!build/keep.o'],
    ['**/build'],
    ['doc/**/b.txt'],
    ['doc/**'],
    ['logs/*.log', '!important.log'],
    ['with space\\ '],
    ['with space '],
    ['\\#hash', '\\!bang'],
    ['a\\[b\\]'],
    ['back\\\\slash'],
    ['x[0-9]'],
    ['x[!0-9]'],
    ['x?'],
    ['*', '!*/', '!*.txt'],
    ['cache/'],
    ['a*b'],
    ['doc/*'],
    ['/doc/deep'],
    ['deep/b.txt'],
  ]
  for (const rules of cases) {
    fs.writeFileSync(b.at('repository', '.git', 'info', 'exclude'), `${rules.join('\n')}\n`)
    const listed = git('ls-files', '--others', '--exclude-standard', '-z').stdout.split('\0').filter(Boolean)
    // git lists files only, and so does this.
    const ours = keptBy(rules, TREE).filter((entry) => !entry.endsWith('/'))
    assert.deepEqual(ours.toSorted(), listed.toSorted(), JSON.stringify(rules))
  }
})

test('more paths than the matcher keeps are told apart alike', () => {
  const ignore = createIgnoreRules(['*.o', '!keep*.o'])!
  for (let i = 0; i < 10_000; i++) {
    assert.equal(ignore.excludes(Buffer.from(`d${i}/f.o`), false), true)
    assert.equal(ignore.excludes(Buffer.from(`d${i}/keep${i}.o`), false), false)
  }
})

test('what is excluded is left out of the snapshot, which records the rules; names are bytes', async (t) => {
  const b = await bench(t)
  const source = b.at('source')
  fs.mkdirSync(b.at('source', 'out', 'deep'), { recursive: true })
  fs.writeFileSync(b.at('source', 'out', 'deep', 'x'), 'x')
  fs.writeFileSync(b.at('source', 'kept'), 'one file, two links')
  fs.linkSync(b.at('source', 'kept'), b.at('source', 'kept.tmp'))
  fs.linkSync(b.at('source', 'kept'), b.at('source', 'kept-too'))
  fs.writeFileSync(b.at('source', 'grün'), '')
  fs.writeFileSync(bytesPath(source, Uint8Array.of(0xff, 0x2e, 0x6f)), '')
  const rules = ['out/', '*.tmp', 'grü?', '*.o']
  const result = await b.import(source, { ignore: rules })
  const found: string[] = []
  const links = new Set<string>()
  for await (const { path, entry } of walk(b.store.blocks, result.snapshot.root)) {
    found.push(path.map((name) => Buffer.from(name).toString()).join('/'))
    if (entry.type === 'file') links.add(Buffer.from(entry.link ?? []).toString('hex'))
  }
  assert.deepEqual(found, ['', 'kept', 'kept-too'])
  assert.equal(links.size, 1, 'the two that are inside are one group')
  assert.ok(!links.has(''))
  assert.deepEqual(result.snapshot.ignore, rules)
  assert.equal((await b.import(source)).snapshot.ignore, undefined)
})

test('a rule is one line that says something, and there is a bound', () => {
  checkIgnoreRules(['a', '!b', '\\#c'])
  for (const bad of [
    [''],
    ['  '],
    ['# comment'],
    ['a\nb'],
    ['a\0'],
    ['\ud800'],
    Array(257).fill('a'),
    ['a'.repeat(40_000)],
  ]) {
    assert.throws(() => checkIgnoreRules(bad), { code: 'invalid' })
  }
})

test('a rule that would take for ever is refused, by whoever brings it', () => {
  for (const rule of ['a/**/a/**/a/**/b', '**/a/**/a/**/b', '!**/a/**/**/b', '/a/***/a/***/***/b/']) {
    for (const use of [createIgnoreRules, checkIgnoreRules])
      assert.throws(() => use(['*.tmp', rule]), { code: 'invalid', message: /more than twice/ }, rule)
  }
  for (const rule of ['**/a/**/b/**', 'a/**/b/**/', '*a*a*a*a*a*a*a*b', '*/*/*/*/*/b', '**'])
    assert.equal(
      createIgnoreRules([rule])?.excludes(Buffer.from(`${'a'.repeat(200)}/c`), false),
      rule === '**',
    )
})
