import { runThread } from '../thread.ts'
import type { LocalScan, LocalScanInput } from './scan-local.ts'
import { scanLocal } from './scan-local.ts'

runThread<LocalScanInput, never, never, LocalScan>((input) => scanLocal(input))
