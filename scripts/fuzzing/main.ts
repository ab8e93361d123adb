/** The fuzzer: tries inputs of one target until its time is up or one is not treated as it should be. */

import { parseOptions } from '../options.ts'
import { createRandom } from './mutate.ts'
import { TARGETS } from './targets.ts'

/** Longer than any input may take, in CPU time: how busy the machine is does not count. */
const SLOW_MS = 5000
const HELP = `Usage: npm run fuzz -- TARGET [--seconds N] [--seed N]

Changes what is sound, knowing its structure, and gives it to the decoders of TARGET (${Object.keys(TARGETS).join(', ')}). Ends after
--seconds (60), or with exit 1 at the first input that is not refused as it should be; --seed begins where such a one was.
`

const { values, positionals } = parseOptions(
  {
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
      help: { type: 'boolean', short: 'h', default: false },
    },
  },
  { command: 'npm run fuzz --', help: HELP },
)
const target = TARGETS[positionals[0] ?? '']
const [seconds, firstSeed] = [Number(values.seconds), Number(values.seed)]
if (target === undefined || !(seconds > 0) || !Number.isInteger(firstSeed)) {
  process.stderr.write(HELP)
  process.exitCode = 2
} else process.exitCode = await fuzz(target)

async function fuzz(run: NonNullable<typeof target>): Promise<number> {
  const endMs = performance.now() + seconds * 1000
  let [tried, taken, slowestMs] = [0, 0, 0]
  for (let seed = firstSeed; performance.now() < endMs; seed = (seed + 1) >>> 0) {
    const startMs = cpuMs()
    try {
      if ((await run(createRandom(seed))).taken) taken++
      tried++
      const tookMs = cpuMs() - startMs
      slowestMs = Math.max(slowestMs, tookMs)
      if (tookMs > SLOW_MS) throw new Error(`it took ${Math.round(tookMs)} ms`)
    } catch (error) {
      process.stderr.write(`npm run fuzz -- ${positionals[0]} --seed ${seed} --seconds 1\n`)
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      return 1
    }
  }
  process.stdout.write(
    `${positionals[0]}: ${tried} inputs from seed ${firstSeed} on, ${taken} taken, ${tried - taken} refused as they should be; ` +
      `the slowest took ${Math.round(slowestMs)} ms\n`,
  )
  return 0
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
