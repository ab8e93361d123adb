import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { choosePaths, MAX_SOCKET_PATH_BYTES, socketToBind, socketToDial } from '../../node/paths.ts'
import { tempDir } from './temp-dir.ts'

test('--home holds everything, and comes before the environment', () => {
  const paths = choosePaths({ home: '/srv/mm', env: { MIRRORMESH_HOME: '/other' }, uid: 0 })
  assert.equal(paths.mode, 'home')
  for (const path of [paths.configFile, paths.nodeKeyFile, paths.storeDir, paths.tempDir, paths.socketFile]) {
    assert.ok(path.startsWith('/srv/mm/'), path)
  }
  assert.equal(choosePaths({ env: { MIRRORMESH_HOME: '/other' }, uid: 0 }).storeDir, '/other/store')
})

test('root uses the folders of the system, others those of XDG', () => {
  const system = choosePaths({ env: {}, uid: 0 })
  assert.equal(system.configFile, '/etc/mirrormesh/config.yaml')
  assert.equal(system.storeDir, '/var/lib/mirrormesh/store')
  assert.equal(system.socketFile, '/run/mirrormesh/api.sock')
  const user = choosePaths({ env: { HOME: '/home/u', XDG_RUNTIME_DIR: '/run/user/7' }, uid: 7 })
  assert.equal(user.configFile, '/home/u/.config/mirrormesh/config.yaml')
  assert.equal(user.storeDir, '/home/u/.local/share/mirrormesh/store')
  assert.equal(user.socketFile, '/run/user/7/mirrormesh/api.sock')
  const moved = choosePaths({ env: { HOME: '/home/u', XDG_CONFIG_HOME: '/c', XDG_DATA_HOME: '/d' }, uid: 7 })
  assert.deepEqual([moved.configFile, moved.runDir], ['/c/mirrormesh/config.yaml', '/d/mirrormesh/run'])
})

test('a home that is too deep for a socket gets a short one, which clients find', async (t) => {
  const home = join(await tempDir(t), 'd'.repeat(120))
  const surroundings = { home, env: {}, uid: process.getuid?.() ?? 0 }
  const paths = choosePaths(surroundings)
  const { file, privateDir } = socketToBind(paths, surroundings)
  assert.ok(Buffer.byteLength(file) <= MAX_SOCKET_PATH_BYTES)
  assert.ok(privateDir !== undefined && file.startsWith(privateDir))
  await mkdir(paths.runDir, { recursive: true })
  await writeFile(paths.socketPointerFile, `${file}\n`)
  assert.equal(socketToDial(paths), file)
  // Even where the folder for such things is too deep.
  const deep = socketToBind(paths, { ...surroundings, env: { XDG_RUNTIME_DIR: `/run/${'u'.repeat(90)}` } })
  assert.match(deep.file, /^\/tmp\/mirrormesh-\d+-[0-9a-f]{16}\/api\.sock$/)
  const short = choosePaths({ ...surroundings, home: '/srv/mm' })
  assert.deepEqual(socketToBind(short, surroundings), { file: '/srv/mm/run/api.sock' })
  assert.equal(socketToDial(short), '/srv/mm/run/api.sock')
})
