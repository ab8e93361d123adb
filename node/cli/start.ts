/** Wires the command line to the process: arguments, signals, compile cache, exit status. */
import module from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'
import v8 from 'node:v8'
import { EXIT } from './exit-codes.ts'
import { processTerminal } from './terminal.ts'

export async function start(): Promise<void> {
  enableCompileCache()
  // Was for this thread alone (scripts/mirrormesh): those that it starts make garbage and keep little.
  v8.setFlagsFromString('--initial-old-space-size=0')
  const { runProgram } = await import('./program.ts')
  const interrupt = new AbortController()
  let signals = 0
  const onSignal = (): void => {
    signals++
    interrupt.abort()
    // Whoever asks twice does not want to wait.
    if (signals > 1) process.exit(EXIT.interrupted)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  process.exitCode = await runProgram(process.argv.slice(2), processTerminal(), interrupt.signal)
  process.off('SIGINT', onSignal)
  process.off('SIGTERM', onSignal)
}

/** In the user's own cache and never in the shared /tmp, where somebody else could have put code before us. */
function enableCompileCache(): void {
  if (process.env.NODE_COMPILE_CACHE !== undefined) return
  const cache = process.env.XDG_CACHE_HOME || (process.env.HOME ? join(homedir(), '.cache') : '')
  if (cache !== '') module.enableCompileCache(join(cache, 'mirrormesh', 'compile'))
}
