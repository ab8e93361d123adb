/**
 * Scans, and when the scan has ended builds: one thread for both, since the second cannot begin before, and a thread costs
 * as much to start as a tree of a thousand files to import.
 */
import type { Asking } from '../thread.ts'
import { runThread } from '../thread.ts'
import type {
  BuildAnswer,
  BuildQuestion,
  BuildResult,
  TreeAnswer,
  TreeInput,
  TreeQuestion,
} from './import-threads.ts'
import { runBuild } from './run-build.ts'
import { runScan } from './run-scan.ts'

runThread<TreeInput, TreeQuestion, TreeAnswer, BuildResult>(({ scan, build }, main) => {
  const { memberCounts } = runScan(scan, main)
  main.ask({ kind: 'scanned' })
  return runBuild(build, memberCounts, main as Asking<BuildQuestion, BuildAnswer>)
})
