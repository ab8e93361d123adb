/** A real file system that is too small, for programs to fill. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** Where a tmpfs is mounted until the test ends; undefined, and the test skipped, where mounting takes another user. */
export async function tinyDisk(t: TestContext, sizeMib: number): Promise<string | undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'mirrormesh-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMib}m,mode=0700`, 'tmpfs', dir], {
      stdio: 'ignore',
    })
  } catch (error) {
    await rmdir(dir)
    if (process.env.CI === 'true') throw error
    t.skip('needs root')
    return undefined
  }
  t.after(async () => {
    execFileSync('umount', ['-l', dir])
    await rmdir(dir)
  })
  return dir
}
