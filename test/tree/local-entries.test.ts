/** A directory reads the same whether its names fit in memory or wait in a file. */
import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { readLocalEntries } from '../../src/tree/local/local-entries.ts'
import { tempDir } from '../node/temp-dir.ts'

test('a directory reads the same whether its names fit in memory or wait in a file', async (t) => {
  const dir = await tempDir(t)
  for (let number = 0; number < 300; number++) await writeFile(join(dir, `file ${number}`), '')
  await mkdir(join(dir, 'folder'))
  await symlink('folder', join(dir, 'a link to the folder'))
  await writeFile(Buffer.concat([Buffer.from(join(dir, 'x')), Buffer.from([0xff, 0x80])]), '')
  const list = (smallDirectory: number): string[] => {
    const entries = readLocalEntries(Buffer.from(dir), { smallDirectory })
    const seen: string[] = []
    for (let entry = entries.next(); entry !== undefined; entry = entries.next())
      seen.push(`${entry.name.toString('hex')} ${entry.isFile()} ${entry.isDirectory()}`)
    entries.close()
    return seen
  }
  const whole = list(1e9)
  assert.equal(whole.length, 303)
  assert.equal(whole.filter((line) => line.endsWith('false true')).length, 1)
  assert.deepEqual(whole, whole.toSorted())
  assert.deepEqual(list(0), whole)
})
