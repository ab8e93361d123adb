/**
 * rsync, as people use it between labs: every site pulls from the origin, or one site of each region does and the others
 * pull from that one as soon as it is done (as jobs by the clock would at best). Over rsync's own daemon, without encryption.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { MirrorError } from '../../../src/base/errors.ts'
import { childCpuSeconds, cpuSecondsOf, pause, type Running, startAt } from './processes.ts'
import { type Contest, otherSites, type System } from './system.ts'

const PORT = 8730
const DAEMON_START_MS = 300

export function rsync({ isTiered, isCompressed }: { isTiered: boolean; isCompressed: boolean }): System {
  return {
    name: `rsync${isTiered ? ' in two tiers' : ''}${isCompressed ? ' -z' : ''}`,
    keeps: 'everything',
    canUpdate: true,
    needs: ['rsync'],
    async run(contest) {
      const { lab, tree, before, folder, stopwatch } = contest
      const { places, origin } = lab.scenario
      const servers = new Map<string, Running>()
      const copies = new Map(otherSites(lab).map((site) => [site, join(folder, site, 'copy')]))
      const firstOf = new Map<string, string>()
      for (const { site, region } of places)
        if (site !== origin && !firstOf.has(region)) firstOf.set(region, site)
      const serving = isTiered ? [origin, ...firstOf.values()] : [origin]
      for (const copy of before === undefined ? [] : copies.values()) {
        mkdirSync(dirname(copy), { recursive: true })
        execFileSync('cp', ['-a', before!.path, copy])
      }
      try {
        for (const site of serving)
          servers.set(site, serve(contest, site, site === origin ? tree.path : copies.get(site)!))
        await pause(DAEMON_START_MS)
        for (const [site, { logFile, hasEnded }] of servers)
          if (hasEnded()) throw new MirrorError('io', `the rsync daemon at ${site} ended: see ${logFile}`)
        const cpu = (): number =>
          childCpuSeconds() + [...servers.values()].reduce((sum, { pid }) => sum + cpuSecondsOf(pid), 0)
        const cpuBefore = cpu()
        await stopwatch.start()
        const first = new Map<string, Promise<void>>()
        const pulls = places
          .filter(({ site }) => site !== origin)
          .map(async ({ site, region }) => {
            const leader = firstOf.get(region)!
            if (!isTiered || site === leader) {
              const pulled = pull(contest, site, origin, isCompressed)
              first.set(site, pulled)
              return pulled
            }
            await first.get(leader)
            await pull(contest, site, leader, isCompressed)
          })
        await Promise.all(pulls)
        await stopwatch.stop()
        return { copies, cpuSeconds: cpu() - cpuBefore }
      } finally {
        await Promise.all([...servers.values()].map((server) => server.stop()))
      }
    },
  }
}

function serve({ lab, folder }: Contest, site: string, path: string): Running {
  mkdirSync(join(folder, site), { recursive: true })
  const config = join(folder, `${site}.conf`)
  writeFileSync(
    config,
    `use chroot = no\nuid = 0\ngid = 0\n[tree]\npath = ${path}\nread only = yes\nnumeric ids = yes\n`,
  )
  return startAt(
    lab,
    site,
    [
      'rsync',
      '--daemon',
      '--no-detach',
      `--config=${config}`,
      `--address=${lab.addressOf(site)}`,
      `--port=${PORT}`,
    ],
    { logFile: join(folder, `${site}-daemon.log`) },
  )
}

async function pull(
  { lab, folder, stopwatch, limitMs }: Contest,
  site: string,
  from: string,
  isCompressed: boolean,
): Promise<void> {
  mkdirSync(join(folder, site), { recursive: true })
  const logFile = join(folder, `${site}-pull.log`)
  const source = `rsync://${lab.addressOf(from)}:${PORT}/tree/`
  const pulling = startAt(
    lab,
    site,
    ['rsync', '-aH', '--delete', ...(isCompressed ? ['-z'] : []), source, join(folder, site, 'copy')],
    { logFile },
  )
  const limit = setTimeout(() => void pulling.stop(), Math.max(0, limitMs - stopwatch.elapsedMs()))
  const status = await pulling.exited
  clearTimeout(limit)
  if (status === 0) stopwatch.arrived(site)
  else if (stopwatch.elapsedMs() < limitMs)
    throw new MirrorError('io', `rsync at ${site} ended with ${status}: see ${logFile}`)
}
