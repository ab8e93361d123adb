/** Device nodes through the daemon: made where the site agrees, told by path and reason where it does not. */
import assert from 'node:assert/strict'
import { lstatSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CheckoutAnswer } from '../../node/api/jobs/job-answers.ts'
import { makeSpecial } from '../../src/posix/special.ts'
import { foundMesh } from './founded-mesh.ts'
import { mirrormesh, startDaemon, succeed, succeedJson, until } from './program.ts'
import { tempDir } from './temp-dir.ts'

test('a device node is made by consent only: --devices by hand, `devices: true` for pins', {
  timeout: 300_000,
}, async (t) => {
  if (process.geteuid?.() !== 0) {
    if (process.env.CI === 'true') throw new Error('this test needs root')
    t.skip('needs root')
    return
  }
  const dir = await tempDir(t)
  const home = join(dir, 'hq')
  const source = join(dir, 'source')
  await mkdir(source)
  await writeFile(join(source, 'file'), 'file')
  makeSpecial(Buffer.from(join(source, 'zero')), 'character-device', { major: 1, minor: 5 })
  const at = (...args: string[]): string[] => ['--home', home, ...args]
  await foundMesh(home)
  let daemon = await startDaemon(t, home)
  await succeed(at('publish', source, '--tree', 'x'))

  const refused = await mirrormesh(at('checkout', 'x', join(dir, 'without'), '--json'))
  assert.equal(refused.status, 3, refused.stderr)
  const { notRestored } = JSON.parse(refused.stdout) as CheckoutAnswer
  assert.equal(notRestored.count, 1)
  assert.match(JSON.stringify(notRestored.first), /zero.*device/)
  assert.ok(!lstatSync(join(dir, 'without/zero'), { throwIfNoEntry: false }))
  await succeedJson<CheckoutAnswer>(at('checkout', 'x', join(dir, 'with'), '--devices'))
  assert.equal(lstatSync(join(dir, 'with/zero')).rdev, lstatSync(join(source, 'zero')).rdev)
  assert.ok(lstatSync(join(dir, 'with/zero')).isCharacterDevice())

  // The same for the check-outs of pins, by the setting of the site.
  const pinned = join(dir, 'pinned')
  await succeed(at('pin', 'add', 'x', '--site', 'hq', '--checkout', pinned))
  await until(
    'the pin is checked out',
    async () => lstatSync(pinned, { throwIfNoEntry: false }) !== undefined,
  )
  await until('it is told', async () => /checkout\.not-restored/.test(daemon.stderr()))
  assert.match(daemon.stderr(), /zero/)
  assert.ok(!lstatSync(join(pinned, 'zero'), { throwIfNoEntry: false }))
  assert.equal(await daemon.stop(), 0)
  daemon = await startDaemon(t, home, { MIRRORMESH_DEVICES: 'true' })
  await writeFile(join(source, 'file'), 'more')
  await succeed(at('publish', source, '--tree', 'x'))
  await until(
    'it moved',
    async () => lstatSync(join(pinned, 'zero'), { throwIfNoEntry: false }) !== undefined,
  )
  assert.equal(lstatSync(join(pinned, 'zero')).rdev, lstatSync(join(source, 'zero')).rdev)
  assert.equal(await daemon.stop(), 0)
})
