/**
 * BitTorrent: aria2 at each site, opentracker at the origin. The clock starts before the torrent is made, since a publish
 * hashes its tree as well. A torrent carries the bytes of files, and no modes, times or links.
 */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { MirrorError } from '../../../src/base/errors.ts'
import { childCpuSeconds, cpuSecondsOf, pause, type Running, startAt } from './processes.ts'
import { type Contest, otherSites, type System } from './system.ts'
import { makeTorrent } from './torrent.ts'

const TRACKER_PORT = 6969
const PEER_PORT = 6881
const LOOK_MS = 50
const OPTIONS = [
  ...['--enable-dht=false', '--enable-dht6=false', '--bt-enable-lpd=false', '--disable-ipv6=true'],
  ...[
    '--file-allocation=none',
    '--seed-ratio=0.0',
    '--bt-max-peers=0',
    '--summary-interval=0',
    '--no-conf=true',
  ],
  `--listen-port=${PEER_PORT}`,
]

export const bittorrent: System = {
  name: 'BitTorrent',
  keeps: 'bytes',
  canUpdate: false,
  needs: ['aria2c', 'opentracker'],
  async run(contest) {
    const { lab, tree, folder, stopwatch, limitMs } = contest
    const { origin } = lab.scenario
    const name = basename(tree.path)
    const copies = new Map(otherSites(lab).map((site) => [site, join(folder, site, name)]))
    for (const { site } of lab.scenario.places) mkdirSync(join(folder, site))
    // What aria2 notes beside a download is not left beside the tree.
    symlinkSync(tree.path, join(folder, origin, name))
    const hook = join(folder, 'arrived')
    writeFileSync(hook, '#!/bin/sh\ndate +%s%3N > "$ARRIVED.new" && mv "$ARRIVED.new" "$ARRIVED"\n', {
      mode: 0o755,
    })
    const torrent = join(folder, `${name}.torrent`)
    const running: Running[] = []
    const cpu = (): number =>
      childCpuSeconds() +
      process.cpuUsage().user / 1e6 +
      running.reduce((sum, { pid }) => sum + cpuSecondsOf(pid), 0)
    try {
      const cpuBefore = cpu()
      await stopwatch.start()
      const tracker = `http://${lab.addressOf(origin)}:${TRACKER_PORT}/announce`
      running.push(startTracker(contest, makeTorrent(tree.path, tracker, torrent)))
      running.push(
        download(contest, origin, torrent, ['--bt-seed-unverified=true', '--allow-overwrite=true']),
      )
      for (const site of otherSites(lab))
        running.push(download(contest, site, torrent, [`--on-bt-download-complete=${hook}`]))
      while (stopwatch.elapsedMs() < limitMs) {
        for (const site of otherSites(lab)) {
          if (stopwatch.hasArrived(site)) continue
          const epochMs = readArrival(arrivalOf(folder, site))
          if (epochMs !== undefined) stopwatch.arrived(site, epochMs)
        }
        if (otherSites(lab).every((site) => stopwatch.hasArrived(site))) break
        for (const { site, logFile, hasEnded } of running)
          if (hasEnded()) throw new MirrorError('io', `a program at ${site} ended: see ${logFile}`)
        await pause(LOOK_MS)
      }
      await stopwatch.stop()
      return { copies, cpuSeconds: cpu() - cpuBefore }
    } finally {
      await Promise.all(running.map((each) => each.stop()))
    }
  },
}

/** Debian's is built to serve listed torrents only. */
function startTracker({ lab, folder }: Contest, hash: string): Running {
  const { origin } = lab.scenario
  // It goes there as its root, and gives up being the machine's.
  const root = join(folder, 'tracker')
  mkdirSync(root, { mode: 0o755 })
  writeFileSync(join(root, 'torrents'), `${hash}\n`, { mode: 0o644 })
  const place = ['-i', lab.addressOf(origin), '-p', String(TRACKER_PORT), '-P', String(TRACKER_PORT)]
  return startAt(lab, origin, ['opentracker', ...place, '-d', root, '-u', 'nobody', '-w', 'torrents'], {
    logFile: join(folder, 'tracker.log'),
  })
}

function download({ lab, folder }: Contest, site: string, torrent: string, more: readonly string[]): Running {
  return startAt(lab, site, ['aria2c', ...OPTIONS, ...more, `--dir=${join(folder, site)}`, torrent], {
    logFile: join(folder, `${site}.log`),
    env: { ARRIVED: arrivalOf(folder, site) },
  })
}

function arrivalOf(folder: string, site: string): string {
  return join(folder, `${site}.arrived`)
}

function readArrival(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
