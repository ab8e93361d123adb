/** What the documents name is there: files and folders of the project, and what their links lead to. */
import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '../..')
const documents = [
  'README.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .map((name) => join('docs', name))
    .filter((name) => name.endsWith('.md')),
].map((name) => ({ name, text: readFileSync(join(root, name), 'utf8') }))

const isThere = (path: string): boolean =>
  path.includes('*') ? globSync(join(root, path)).length > 0 : existsSync(join(root, path))

test('every path that the documents name is there', () => {
  const missing: string[] = []
  for (const { name, text } of documents) {
    const paths = text.match(/(?<![\w/.:@-])(?:docs|node|scripts|src|test|topology)\/[\w./*-]*[\w*/]/g) ?? []
    missing.push(...paths.filter((path) => !isThere(path)).map((path) => `${name}: ${path}`))
  }
  assert.deepEqual(missing, [])
})

test("the table of replication.md names files of src/replica, and of the project's folders", () => {
  const { text } = documents.find(({ name }) => name === 'docs/replication.md')!
  const table = text.slice(text.indexOf('## Who does what'), text.indexOf('## A fetch, step by step'))
  const paths = [...table.matchAll(/^\| ([^|]+) \|/gm)]
    .flatMap(([, cell]) => cell!.split(', '))
    .filter((path) => /[/.]/.test(path))
  assert.ok(paths.length > 30)
  assert.deepEqual(
    paths.filter((path) => !isThere(join('src/replica', path)) && !isThere(path)),
    [],
  )
})

test('every link within the documents leads to a file, and to a heading of it', () => {
  const broken: string[] = []
  for (const { name, text } of documents) {
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue
      const [path = '', anchor] = target!.split('#')
      const file = path === '' ? name : join(dirname(name), path)
      const isGood =
        isThere(file) &&
        (anchor === undefined || anchorsOf(readFileSync(join(root, file), 'utf8')).includes(anchor))
      if (!isGood) broken.push(`${name}: ${target}`)
    }
  }
  assert.deepEqual(broken, [])
})

/** As GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
