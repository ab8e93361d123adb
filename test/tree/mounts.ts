/** Real mounts, for programs to stumble over. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import type { TestContext } from 'node:test'

export interface Mounts {
  tmpfs(at: string, options?: string): void
  bind(from: string, at: string): void
  overlay(at: string, layers: { readonly lower: string; readonly upper: string; readonly work: string }): void
  unmount(at: string): void
  /** To be called at the end of a test, before its folders are removed. */
  end(): void
}

/** Undefined, and the test skipped, where mounting takes another user. */
export function openMounts(t: TestContext): Mounts | undefined {
  if (process.geteuid?.() !== 0) {
    if (process.env.CI === 'true') throw new Error('this test needs root')
    t.skip('needs root')
    return undefined
  }
  const mounted: { readonly at: string; readonly id: string }[] = []
  const mount = (at: string, args: readonly string[]): void => {
    fs.mkdirSync(at, { recursive: true })
    execFileSync('mount', [...args, at], { stdio: ['ignore', 'ignore', 'inherit'] })
    const [id] = readMounts().find(([, path]) => path === at)!
    mounted.push({ at, id })
  }
  const unmount = (at: string): void => {
    const index = mounted.findIndex((each) => each.at === at)
    const [{ id } = { id: '' }] = mounted.splice(index, 1)
    // A rename above it takes it along.
    const path = readMounts().find((each) => each[0] === id)?.[1]
    if (path !== undefined) execFileSync('umount', ['-l', path], { stdio: ['ignore', 'ignore', 'inherit'] })
  }
  return {
    tmpfs: (at, options = 'size=4m') => mount(at, ['-t', 'tmpfs', '-o', options, 'tmpfs']),
    bind: (from, at) => mount(at, ['--bind', from]),
    overlay: (at, { lower, upper, work }) =>
      mount(at, ['-t', 'overlay', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, 'overlay']),
    unmount,
    end() {
      for (const { at } of [...mounted].reverse()) unmount(at)
    },
  }
}

/** Id and place; the latest first. */
function readMounts(): [id: string, path: string][] {
  return fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line): [string, string] => [line.split(' ')[0]!, line.split(' ')[4]!])
    .reverse()
}
