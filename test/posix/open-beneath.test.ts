import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { openBeneath } from '../../src/posix/open-beneath.ts'

const { root, outside } = makeTree()

function makeTree() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'mirrormesh-beneath-'))
  test.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  const made = { root: path.join(dir, 'root'), outside: path.join(dir, 'outside') }
  fs.mkdirSync(path.join(made.root, 'a/b'), { recursive: true })
  fs.mkdirSync(made.outside)
  fs.writeFileSync(path.join(made.root, 'a/b/file'), 'inside')
  fs.writeFileSync(path.join(made.root, 'top'), 'top')
  fs.writeFileSync(Buffer.concat([Buffer.from(`${made.root}/`), Buffer.from([0xff, 0xfe])]), 'bytes')
  fs.writeFileSync(path.join(made.outside, 'file'), 'outside')
  fs.symlinkSync('top', path.join(made.root, 'link'))
  fs.symlinkSync('a', path.join(made.root, 'dirlink'))
  fs.symlinkSync(made.outside, path.join(made.root, 'out'))
  fs.symlinkSync(made.root, path.join(dir, 'rootlink'))
  execFileSync('mkfifo', [path.join(made.root, 'fifo')])
  return made
}

for (const walk of [false, true]) {
  const way = walk ? 'by walking' : 'with openat2'
  const open = (below: string | Uint8Array, from = root): string => {
    const fd = openBeneath(Buffer.from(from), Buffer.from(below), { walk })
    try {
      return fs.readFileSync(fd, 'utf8')
    } finally {
      fs.closeSync(fd)
    }
  }
  const codeOf = (below: string, from = root): string | undefined => {
    try {
      open(below, from)
      return undefined
    } catch (error) {
      return (error as NodeJS.ErrnoException).code
    }
  }

  test(`${way}, files are opened at any depth, by any bytes, and the root itself when it is a file`, () => {
    assert.equal(open('a/b/file'), 'inside')
    assert.equal(open('top'), 'top')
    assert.equal(open(Uint8Array.of(0xff, 0xfe)), 'bytes')
    assert.equal(open('', path.join(root, 'top')), 'top')
  })

  test(`${way}, no link is followed, and nothing outside is reached`, () => {
    assert.equal(codeOf('link'), 'ELOOP')
    assert.match(codeOf('dirlink/b/file') ?? '', /^(ELOOP|ENOTDIR)$/)
    assert.match(codeOf('out/file') ?? '', /^(ELOOP|ENOTDIR)$/)
    assert.equal(codeOf('../outside/file'), 'EXDEV')
    assert.match(codeOf(`${outside}/file`) ?? '', /^EXDEV$/)
    assert.match(codeOf('top', path.join(path.dirname(root), 'rootlink')) ?? '', /^(ELOOP|ENOTDIR)$/)
    assert.equal(codeOf('', path.join(root, 'link')), 'ELOOP')
  })

  test(`${way}, what is missing or no regular file is an error, and a fifo does not wait for a writer`, () => {
    assert.equal(codeOf('nothing'), 'ENOENT')
    assert.equal(codeOf('top/file'), 'ENOTDIR')
    assert.equal(codeOf('a'), 'EINVAL')
    assert.equal(codeOf('fifo'), 'EINVAL')
  })
}

test('no descriptor is left open, whatever the outcome', () => {
  const openNow = (): number => fs.readdirSync('/proc/self/fd').length
  const before = openNow()
  for (const walk of [false, true]) {
    for (const below of ['a/b/file', 'link', 'out/file', 'nothing', 'a', '../outside/file', 'a/b/c/d']) {
      try {
        fs.closeSync(openBeneath(Buffer.from(root), Buffer.from(below), { walk }))
      } catch {
        // Told by the tests above.
      }
    }
  }
  assert.equal(openNow(), before)
})
