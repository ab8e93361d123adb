/** One run of wrk, and what it says. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../../../src/base/errors.ts'

export interface Load {
  /** Asked for by turns. */
  readonly paths: readonly string[]
  readonly connections: number
  readonly seconds: number
}

export interface WrkResult {
  readonly seconds: number
  readonly requests: number
  readonly bytes: number
  readonly p50Ms: number
  readonly p99Ms: number
}

let runs = 0

/** @throws MirrorError `partial` when an answer was not 200, or a connection failed */
export async function runWrk(
  folder: string,
  url: string,
  { paths, connections, seconds }: Load,
): Promise<WrkResult> {
  const script = join(folder, `wrk-${runs++}.lua`)
  const base = new URL(url).pathname
  // What wrk counts as an error is told apart from slow answers, of which there are many on a busy machine.
  writeFileSync(
    script,
    `local paths = { ${paths.map((path) => JSON.stringify(base + path)).join(', ')} }
local at = 0
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
done = function(summary, latency)
  local errors = summary.errors
  io.stdout:write(string.format("RESULT %d %d %d %d %d %d\\n", summary.duration, summary.requests, summary.bytes,
    latency:percentile(50), latency:percentile(99), errors.connect + errors.read + errors.write + errors.status))
end
`,
  )
  const child = spawn(
    'wrk',
    ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '60s', '-s', script, url],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
    })
  await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  const found = /^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(text)
  if (found === null) throw new MirrorError('io', `wrk says: ${text.slice(-500)}`)
  const [micros = 0, requests = 0, bytes = 0, p50 = 0, p99 = 0, errors = 0] = found.slice(1).map(Number)
  if (errors > 0) throw new MirrorError('partial', `${errors} of ${requests} requests to ${url} failed`)
  return { seconds: micros / 1e6, requests, bytes, p50Ms: p50 / 1000, p99Ms: p99 / 1000 }
}
