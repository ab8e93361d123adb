import type { CheckResult } from './check-tree.ts'
import { checkTree } from './check-tree.ts'
import type { CheckInput } from './find-unchanged.ts'
import { createIgnoreRules } from './ignore-rules.ts'
import { asBuffer } from './path-bytes.ts'
import { createStatCacheCursor } from './stat-cache-cursor.ts'
import { openCacheFile } from './stat-cache-file.ts'
import { runThread } from './thread.ts'

runThread<CheckInput, number, undefined, CheckResult>((input, main) => {
  const { root, cacheFd, subject, tempDir } = input
  const cache = openCacheFile(cacheFd, subject)
  if (cache === undefined) return { isUnchanged: false, entries: 0 }
  const ignore = createIgnoreRules(input.ignore)
  return checkTree(asBuffer(root), createStatCacheCursor(cache), { tempDir, ignore }, (count) => {
    main.ask(count)
  })
})
