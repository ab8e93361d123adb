/**
 * One run of test files, each in a process of its own: prints what Node's `spec` reporter prints, and gives what came of
 * each file. A file has passed only when its process said so: one that was killed, or never began, has failed.
 */
import { resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

export interface FailedTest {
  readonly name: string
  readonly message: string
}

export interface FileResult {
  readonly file: string
  readonly hasPassed: boolean
  readonly durationMs: number
  /** In the order of the file; empty where the process itself failed. */
  readonly failures: readonly FailedTest[]
}

/** At most `concurrency` files at a time, begun in the order given. */
export async function runFiles(
  files: readonly string[],
  {
    concurrency,
    timeoutMs,
    output,
  }: { readonly concurrency: number; readonly timeoutMs: number; readonly output: Writable },
): Promise<readonly FileResult[]> {
  const paths = files.map((file) => resolve(file))
  const durations = new Map<string, number>()
  const passed = new Set<string>()
  const failures = new Map<string, readonly FailedTest[]>()
  const reporter = new spec()
  const printed = new Promise<void>((done) => reporter.once('end', done))
  reporter.pipe(output, { end: false })
  // What tests say comes file by file, and each file ends with a summary of its own; a test may be defined elsewhere.
  let said: FailedTest[] = []
  for await (const event of run({ files: paths, concurrency, timeout: timeoutMs })) {
    reporter.write(event)
    const { type, data } = event
    if (type === 'test:complete' && data.nesting === 0 && data.file === data.name) {
      durations.set(data.name, data.details.duration_ms)
      if (data.details.error === undefined) passed.add(data.name)
    } else if (type === 'test:fail' && data.file === data.name) {
      failures.set(data.name, [...(failures.get(data.name) ?? []), ...said])
      said = []
    } else if (
      type === 'test:fail' &&
      !('failureType' in data.details.error && data.details.error.failureType === 'subtestsFailed')
    ) {
      said.push({ name: data.name, message: messageOf(data.details.error) })
    } else if (type === 'test:summary' && data.file !== undefined) {
      failures.set(data.file, said)
      said = []
    }
  }
  reporter.end()
  await printed
  return paths.map((path, index) => ({
    file: files[index]!,
    hasPassed: passed.has(path),
    durationMs: durations.get(path) ?? 0,
    failures: failures.get(path) ?? [],
  }))
}

/** Node wraps what a test threw. */
function messageOf({ message, cause }: Error): string {
  return cause instanceof Error ? cause.message : message
}
