/**
 * What a script has to take away when SIGINT or SIGTERM ends it, as it does at its end: folders, mounts, processes. What was begun last
 * goes first.
 */
import { rmSync } from 'node:fs'

type Clean = () => void | Promise<void>

const cleanings: Clean[] = []

/** Until it is disposed of. The script then ends with the status that the signal has in a shell. */
export function onSignal(clean: Clean): Disposable {
  if (cleanings.length === 0)
    for (const [signal, status] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const)
      if (!process.listeners(signal).includes(ends[status])) process.on(signal, ends[status])
  cleanings.push(clean)
  return { [Symbol.dispose]: () => void cleanings.splice(cleanings.indexOf(clean), 1) }
}

export function removedOnSignal(folder: string): Disposable {
  return onSignal(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))
}

const ends = { 130: () => void end(130), 143: () => void end(143) }
let isEnding = false

async function end(status: number): Promise<void> {
  // Whoever asks twice does not want to wait.
  if (isEnding) process.exit(status)
  isEnding = true
  for (const clean of cleanings.toReversed()) {
    try {
      await clean()
    } catch (error) {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    }
  }
  process.exit(status)
}
