/** What is the users' own outlives a check-out that fails while it is linked, or brought over, into the new tree. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { openMounts } from './mounts.ts'
import type { Bench } from './trees.ts'
import { bench, describeTree } from './trees.ts'

const FILES = 40

function makeMine(dir: string): void {
  for (const folder of ['mine', 'dir/theirs']) {
    fs.mkdirSync(`${dir}/${folder}/sub`, { recursive: true })
    fs.writeFileSync(`${dir}/${folder}/PROTECTED`, '')
    for (let i = 0; i < FILES; i++) fs.writeFileSync(`${dir}/${folder}/sub/f${i}`, `${folder} ${i}`)
  }
}

function checkMine(dir: string): void {
  for (const folder of ['mine', 'dir/theirs']) {
    for (let i = 0; i < FILES; i++)
      assert.equal(fs.readFileSync(`${dir}/${folder}/sub/f${i}`, 'utf8'), `${folder} ${i}`)
  }
}

function leftovers(dir: string): string[] {
  return fs.readdirSync(dir).filter((name) => /^\.out\.mirrormesh-[0-9a-f]{16}$/.test(name))
}

async function twoVersions(b: Bench) {
  const make = (name: string) => {
    fs.mkdirSync(b.at(name, 'dir'), { recursive: true })
    fs.writeFileSync(b.at(name, 'dir', 'file'), name)
    return b.import(b.at(name))
  }
  return [await make('one'), await make('two')] as const
}

test('a disk that fills up while local files get their second names: all is as it was, and there is room again', async (t) => {
  const mounts = openMounts(t)
  if (mounts === undefined) return
  const b = await bench(t)
  try {
    const [one, two] = await twoVersions(b)
    // A second name takes an inode of a tmpfs, too.
    mounts.tmpfs(b.at('disk'), 'size=4m,nr_inodes=200')
    await b.checkOut(one, b.at('disk', 'out'))
    makeMine(b.at('disk', 'out'))
    const fill = (count: number): void => {
      for (let i = 0; i < count; i++) fs.writeFileSync(b.at('disk', `filler-${i}`), '')
    }
    const freeInodes = (): number => fs.statfsSync(b.at('disk')).ffree
    fill(freeInodes() - FILES)
    const before = describeTree(b.at('disk', 'out'))
    const free = freeInodes()
    await assert.rejects(b.checkOut(two, b.at('disk', 'out'), { replace: true }), { code: 'no-space' })
    assert.deepEqual(describeTree(b.at('disk', 'out')), before)
    assert.deepEqual(leftovers(b.at('disk')), [])
    assert.equal(freeInodes(), free)
    for (const name of fs.readdirSync(b.at('disk'))) {
      if (name.startsWith('filler-')) fs.unlinkSync(b.at('disk', name))
    }
    fs.rmSync(b.at('disk', 'out', 'mine', 'sub', 'f0'))
    fs.writeFileSync(b.at('disk', 'out', 'mine', 'sub', 'f0'), 'mine 0')
    const { kept } = await b.checkOut(two, b.at('disk', 'out'), { replace: true })
    assert.deepEqual(kept.first, ['dir/theirs', 'mine'])
    checkMine(b.at('disk', 'out'))
    assert.equal(fs.readFileSync(b.at('disk', 'out', 'dir', 'file'), 'utf8'), 'two')
  } finally {
    mounts.end()
  }
})

for (const code of ['ENOSPC', 'EIO']) {
  test(`${code} when the marker is written, before the switch or after it: what is local is there, and the next check-out has it all`, async (t) => {
    const b = await bench(t)
    const versions = await twoVersions(b)
    await b.checkOut(versions[0], b.at('out'))
    makeMine(b.at('out'))
    const write = fs.writeSync
    for (const failing of [1, 2]) {
      let markers = 0
      const mocked = t.mock.method(fs, 'writeSync', ((fd: number, data: never, ...rest: never[]) => {
        const isMarker = typeof data === 'string' && (data as string).startsWith('{"')
        if (isMarker && ++markers === failing) throw Object.assign(new Error(code), { code })
        return write(fd, data, ...(rest as []))
      }) as typeof fs.writeSync)
      const version = versions[failing % 2]!
      await assert.rejects(b.checkOut(version, b.at('out'), { replace: true }), (error: Error) => {
        assert.match(error.message, new RegExp(code === 'ENOSPC' ? 'ENOSPC|B that are free' : code))
        return true
      })
      mocked.mock.restore()
      assert.equal(markers, failing)
      checkMine(b.at('out'))
      await b.checkOut(version, b.at('out'), { replace: true })
      checkMine(b.at('out'))
      assert.deepEqual(leftovers(b.dir), [])
    }
  })
}
