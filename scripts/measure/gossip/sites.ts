/**
 * A process that runs the nodes of several sites, each composed as a daemon composes its own: `sites.ts HOME...`. Tells its
 * parent when a site is connected to so many others, and when it accepts a head; ends when the parent goes.
 */
import { Writable } from 'node:stream'
import { composeNode, type RunningNode } from '../../../node/compose.ts'
import { loadConfig } from '../../../node/config.ts'
import { createLog } from '../../../node/log.ts'
import { readVersion } from '../../../node/version.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { pathsOf } from '../homes.ts'

export type SiteMessage =
  | { readonly kind: 'peers'; readonly home: string; readonly connected: number }
  | { readonly kind: 'head'; readonly home: string; readonly sequence: number; readonly atMs: number }

const nodes: RunningNode[] = []
const tell = (message: SiteMessage): void => {
  if (process.connected) process.send!(message)
}

process.once('disconnect', () => {
  void Promise.all(nodes.map((node) => node.stop())).finally(() => process.exit(0))
})

for (const home of process.argv.slice(2)) {
  const paths = pathsOf(home)
  const config = {
    ...(await loadConfig({ file: paths.configFile, env: {}, flags: {} })),
    logLevel: 'info' as const,
  }
  const log = createLog({ ...config, logFormat: 'json' }, { stream: listener(home), isTty: false })
  const socket = { file: paths.socketFile }
  const node = await composeNode({
    paths,
    config,
    settings: [],
    clock: systemClock,
    log,
    version: readVersion(),
    socket,
  })
  nodes.push(node)
  await node.start()
}

/** The log's time is when the site had the head in its own log of records. */
function listener(home: string): Writable {
  let connected = 0
  return new Writable({
    decodeStrings: false,
    write(text: string, _encoding, done) {
      const { event, time, sequence } = JSON.parse(text) as { event: string; time: string; sequence: number }
      if (event === 'peer.connected') tell({ kind: 'peers', home, connected: ++connected })
      if (event === 'peer.disconnected') tell({ kind: 'peers', home, connected: --connected })
      if (event === 'head.accepted') tell({ kind: 'head', home, sequence, atMs: Date.parse(time) })
      done()
    },
  })
}
