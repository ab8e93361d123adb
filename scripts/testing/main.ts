/**
 * Runs test files, and those that failed once more: alone, one at a time. What passes only then is told loudly, for it is a
 * defect of that test (or a race in what it tests) which the exit code no longer shows.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseOptions } from '../options.ts'
import { type FileResult, runFiles } from './run-files.ts'

/** More are no accident. */
const MOST_SECOND_RUNS = 5
/** Most files start processes of their own, and wait for them (a third of the time nobody works): memory ends before the cores do. */
const MOST_AT_A_TIME = 8
/** Of a test, where it says nothing else. */
const TIMEOUT_MS = 240_000
/** Of the longest files, in the line that says where the time went. */
const LISTED_FILES = 8
/** A file that takes less can begin at any time. */
const LONG_MS = 5000
const LONGEST_FIRST = join(import.meta.dirname, 'longest-first.txt')

const HELP = `usage: node scripts/testing/main.ts [options] [FILE...]

Runs these files, or all of test/.

  --concurrency N    files at a time: by default one more than there are cores, ${MOST_AT_A_TIME} at most
  --record           writes down which files take longest: those are begun first
  --help             this text

Files that failed run again, alone and one at a time, unless there are more than ${MOST_SECOND_RUNS}. It ends
with 0 when each file passed in its first run or in its second, else with 1.
`

// Tests say what modes they mean; those of files that they write without a word are everybody's usual ones.
process.umask(0o022)
process.exitCode = await main()

async function main(): Promise<number> {
  const { values, positionals } = parseOptions(
    {
      allowPositionals: true,
      options: { concurrency: { type: 'string' }, record: { type: 'boolean' }, help: { type: 'boolean' } },
    },
    { command: 'node scripts/testing/main.ts', help: HELP },
  )
  const concurrency = Number(values.concurrency ?? Math.min(availableParallelism() + 1, MOST_AT_A_TIME))
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    process.stderr.write(HELP)
    return 2
  }
  const files = positionals.length > 0 ? positionals : globSync('test/**/*.test.ts').sort()
  if (files.length === 0) throw new Error('no test file: run this in the folder that has test/')
  const first = await runFiles(longestFirst(files), {
    concurrency,
    timeoutMs: TIMEOUT_MS,
    output: process.stdout,
  })
  const longest = first.toSorted((a, b) => b.durationMs - a.durationMs).slice(0, LISTED_FILES)
  say(
    `longest: ${longest.map(({ file, durationMs }) => `${file} ${(durationMs / 1000).toFixed(1)} s`).join(', ')}`,
  )
  if (values.record) record(first)
  const failed = first.filter(({ hasPassed }) => !hasPassed)
  if (failed.length === 0) return 0
  if (failed.length > MOST_SECOND_RUNS) {
    say(`${failed.length} files failed, more than the ${MOST_SECOND_RUNS} that would be run again:`)
    for (const each of failed) tell('failed', each)
    return 1
  }
  say(`${failed.length} of ${first.length} files failed. Each runs again, alone:`)
  for (const each of failed) tell('failed', each)
  const second: FileResult[] = []
  for (const { file } of failed)
    second.push(
      ...(await runFiles([file], { concurrency: 1, timeoutMs: TIMEOUT_MS, output: process.stdout })),
    )
  say('what the second run showed:')
  for (const [index, { hasPassed }] of second.entries()) {
    if (hasPassed) tell('PASSED ONLY WHEN RUN ALONE', failed[index]!)
    else tell('failed again', second[index]!)
  }
  if (!second.every(({ hasPassed }) => hasPassed)) return 1
  say('A test that needs its second run is a defect: file it, with the message above, and mend it.')
  return 0
}

function say(line: string): void {
  process.stdout.write(`\n== ${line}\n`)
}

function tell(what: string, { file, failures }: FileResult): void {
  const [
    { name, message } = {
      name: '(the process of the file)',
      message: 'no test failed: it ended otherwise than it should, see above',
    },
  ] = failures
  process.stdout.write(`${what}: ${file}: ${name}\n`)
  for (const line of message.split('\n')) process.stdout.write(`    ${line}\n`)
}

/** Those known to take long, then the others as they come: none of the long ones runs alone at the end. */
function longestFirst(files: readonly string[]): readonly string[] {
  const given = new Set(files)
  const known = readFileSync(LONGEST_FIRST, 'utf8')
    .split('\n')
    .filter((file) => given.has(file))
  return [...new Set([...known, ...files])]
}

function record(results: readonly FileResult[]): void {
  const long = results
    .filter(({ durationMs }) => durationMs > LONG_MS)
    .toSorted((a, b) => b.durationMs - a.durationMs)
  writeFileSync(LONGEST_FIRST, `${long.map(({ file }) => file).join('\n')}\n`)
}
