/** Nodes of directories are decoded once for many look-ups, and held to what their parents say. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createHotDirectories } from '../../node/gateway/hot-directories.ts'
import { utf8 } from '../../src/base/bytes.ts'
import type { Block } from '../../src/block/block.ts'
import { type Cid, cidKey } from '../../src/block/cid.ts'
import { buildDirectory } from '../../src/dag/directory.ts'
import type { Entry } from '../../src/dag/entry.ts'
import { loadDirectoryNode, lookUp } from '../../src/dag/reader.ts'
import { askGateway } from './gateway-client.ts'
import { createTestMesh } from './gateway-mesh.ts'

async function large() {
  const all = new Map<string, Uint8Array>()
  const metadata = { mode: 0o644, mtimeSec: 0, mtimeNsec: 0, uid: 0, gid: 0 }
  const entries = Array.from({ length: 20_000 }, (_, i): Entry => {
    const name = utf8(`file-${String(i).padStart(5, '0')}`)
    return { type: 'symlink', name, target: name, ...metadata }
  })
  const cid = await buildDirectory(entries, (block: Block) => {
    all.set(cidKey(block.cid), block.bytes)
  })
  let reads = 0
  const source = {
    async get(cid: Cid) {
      reads++
      return all.get(cidKey(cid))
    },
  }
  const root: Entry = { type: 'directory', name: utf8(''), directory: cid, ...metadata }
  return { cid, root, entries, source, reads: () => reads }
}

test('a large directory is looked up in with the answers of one that is read each time, within the bound', async () => {
  const { root, entries, source, reads } = await large()
  for (const maxBytes of [64 * 1024, 64 * 1024 * 1024]) {
    const load = createHotDirectories({ maxBytes })
    const before = reads()
    for (let i = 0; i < 2000; i++) {
      const { name } = entries[(i * 7919) % entries.length]!
      const found = await lookUp(source, root, [name], undefined, load)
      assert.deepEqual(found?.name, name)
    }
    assert.equal(await lookUp(source, root, [utf8('none')], undefined, load), undefined)
    const count = reads() - before
    assert.ok(maxBytes > 1024 * 1024 ? count < 200 : count > 1000, `${count} reads within ${maxBytes} bytes`)
  }
})

test('a node that one parent describes rightly is refused where another lies about it', async () => {
  const { cid, source } = await large()
  const load = createHotDirectories()
  const root = await loadDirectoryNode(source, { cid }, undefined)
  assert.ok(root.kind === 'branch')
  const [child] = root.children
  const { claim } = child!
  assert.ok(claim !== undefined)
  await load(source, child!, undefined)
  for (const lie of [
    { ...claim, entries: claim.entries + 1 },
    { ...claim, level: claim.level + 1 },
    { ...claim, lastName: utf8('zzz') },
    { ...claim, after: claim.lastName },
  ])
    await assert.rejects(load(source, { cid: child!.cid, claim: lie }, undefined), { code: 'corrupt' })
})

test('a gateway reads the folders on the way once for all files in them', async (t) => {
  const mesh = await createTestMesh()
  const files = Array.from({ length: 20 }, (_, i) => [`f${i}`, utf8(`content of ${i}`)] as const)
  await mesh.publish('t', [['dir', files]])
  const gateway = await mesh.start()
  t.after(() => gateway.stop(0))
  assert.equal((await askGateway(gateway, '/t/dir/f0')).body.toString(), 'content of 0')
  const before = mesh.reads()
  for (const [name, content] of files.slice(1))
    assert.deepEqual(new Uint8Array((await askGateway(gateway, `/t/dir/${name}`)).body), content)
  assert.equal(mesh.reads() - before, files.length - 1)
})
