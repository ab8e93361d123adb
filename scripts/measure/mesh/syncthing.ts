/**
 * Syncthing, every site with all others, as it is installed. Its folder at the origin is paused until the clock starts;
 * then it is scanned. Discovery, relays and reports are off: there is nobody outside.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { MirrorError } from '../../../src/base/errors.ts'
import { cpuSecondsOf, pause, type Running, runAt, startAt, until } from './processes.ts'
import { type Contest, otherSites, type System } from './system.ts'

const PORT = 22000
const KEY = 'bench'
const READY = { timeoutMs: 180_000, everyMs: 500 }
const LOOK_MS = 250

interface Peer {
  readonly site: string
  readonly device: string
  readonly home: string
  readonly copy: string
}

export const syncthing: System = {
  name: 'Syncthing',
  keeps: 'bytes',
  canUpdate: false,
  needs: ['syncthing'],
  async run(contest) {
    const { lab, tree, folder, stopwatch, limitMs } = contest
    const { origin } = lab.scenario
    const peers: Peer[] = []
    for (const { site } of lab.scenario.places) {
      const home = join(folder, site, 'home')
      const copy = site === origin ? tree.path : join(folder, site, 'copy')
      mkdirSync(home, { recursive: true })
      mkdirSync(copy, { recursive: true })
      await runAt(lab, site, ['syncthing', 'generate', `--home=${home}`, '--no-default-folder'])
      const device = (await runAt(lab, site, ['syncthing', '--device-id', `--home=${home}`])).trim()
      peers.push({ site, device, home, copy })
    }
    const running: Running[] = []
    try {
      for (const peer of peers) {
        writeFileSync(join(peer.home, 'config.xml'), configOf(contest, peer, peers))
        running.push(
          startAt(
            lab,
            peer.site,
            ['syncthing', 'serve', `--home=${peer.home}`, '--no-browser', '--no-restart', '--no-upgrade'],
            { logFile: join(folder, `${peer.site}.log`) },
          ),
        )
      }
      await Promise.all(
        peers.map((peer) =>
          until(`${peer.site} is connected to all`, READY, () => isConnected(peer, peers.length - 1)),
        ),
      )
      const cpuBefore = running.map(({ pid }) => cpuSecondsOf(pid))
      await stopwatch.start()
      const source = peers.find(({ site }) => site === origin)!
      await ask(source, 'PATCH', '/rest/config/folders/bench', { paused: false })
      while (stopwatch.elapsedMs() < limitMs) {
        for (const peer of peers)
          if (peer !== source && !stopwatch.hasArrived(peer.site) && (await isComplete(peer, contest)))
            stopwatch.arrived(peer.site)
        if (otherSites(lab).every((site) => stopwatch.hasArrived(site))) break
        for (const { site, logFile, hasEnded } of running)
          if (hasEnded()) throw new MirrorError('io', `syncthing at ${site} ended: see ${logFile}`)
        await pause(LOOK_MS)
      }
      await stopwatch.stop()
      return {
        copies: new Map(peers.map(({ site, copy }) => [site, copy])),
        cpuSeconds: running.reduce((sum, { pid }, i) => sum + cpuSecondsOf(pid) - cpuBefore[i]!, 0),
      }
    } finally {
      await Promise.all(running.map((each) => each.stop()))
    }
  },
}

function configOf({ lab }: Contest, own: Peer, peers: readonly Peer[]): string {
  const { origin } = lab.scenario
  const isSource = own.site === origin
  const devices = peers.map(
    ({ device, site }) =>
      `<device id="${device}" name="${site}"><address>tcp://${lab.addressOf(site)}:${PORT}</address></device>`,
  )
  return `<configuration version="35">
<folder id="bench" label="bench" path="${escaped(own.copy)}" type="${isSource ? 'sendonly' : 'receiveonly'}"
 rescanIntervalS="0" fsWatcherEnabled="false">
<paused>${isSource}</paused><markerName>.</markerName>
${peers.map(({ device }) => `<device id="${device}"/>`).join('\n')}
</folder>
${devices.join('\n')}
<gui enabled="true" tls="false"><address>${escaped(socketOf(own))}</address><apikey>${KEY}</apikey></gui>
<options><listenAddress>tcp://${lab.addressOf(own.site)}:${PORT}</listenAddress>
<globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
<relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><urAccepted>-1</urAccepted>
<crashReportingEnabled>false</crashReportingEnabled><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
<reconnectionIntervalS>5</reconnectionIntervalS><startBrowser>false</startBrowser></options>
</configuration>
`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

function socketOf({ home }: Peer): string {
  return join(home, 'gui.sock')
}

async function isConnected(peer: Peer, others: number): Promise<true | undefined> {
  const answer = (await ask(peer, 'GET', '/rest/system/connections').catch(() => undefined)) as
    | { connections: Record<string, { connected: boolean }> }
    | undefined
  const up = Object.values(answer?.connections ?? {}).filter(({ connected }) => connected).length
  return up >= others ? true : undefined
}

/** It has heard of all files, and needs none. */
async function isComplete(peer: Peer, { tree }: Contest): Promise<boolean> {
  const { globalFiles, needTotalItems, state } = (await ask(peer, 'GET', '/rest/db/status?folder=bench')) as {
    globalFiles: number
    needTotalItems: number
    state: string
  }
  return globalFiles >= tree.files && needTotalItems === 0 && state === 'idle'
}

function ask(peer: Peer, method: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { socketPath: socketOf(peer), method, path, headers: { 'X-API-Key': KEY, Host: 'localhost' } },
      (answer) => {
        let text = ''
        answer
          .setEncoding('utf8')
          .on('data', (piece: string) => {
            text += piece
          })
          .on('end', () => {
            if (answer.statusCode !== 200)
              reject(new MirrorError('io', `syncthing at ${peer.site} answers ${answer.statusCode}: ${text}`))
            else resolve(text === '' ? undefined : JSON.parse(text))
          })
      },
    )
    sent.on('error', reject)
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
