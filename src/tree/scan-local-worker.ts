import type { LocalScan, LocalScanInput } from './scan-local.ts'
import { scanLocal } from './scan-local.ts'
import { runThread } from './thread.ts'

runThread<LocalScanInput, never, never, LocalScan>((input) => scanLocal(input))
