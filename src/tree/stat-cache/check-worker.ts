import { createIgnoreRules } from '../ignore-rules.ts'
import { asBuffer } from '../path-bytes.ts'
import { runThread } from '../thread.ts'
import type { CheckResult } from './check-tree.ts'
import { checkTree } from './check-tree.ts'
import { createStatCacheCursor } from './cursor.ts'
import { openCacheFile } from './file.ts'
import type { CheckInput } from './find-unchanged.ts'

runThread<CheckInput, number, undefined, CheckResult>((input, main) => {
  const { root, cacheFd, subject, tempDir } = input
  const cache = openCacheFile(cacheFd, subject)
  if (cache === undefined) return { isUnchanged: false, entries: 0 }
  const ignore = createIgnoreRules(input.ignore)
  return checkTree(asBuffer(root), createStatCacheCursor(cache), { tempDir, ignore }, (count) => {
    main.ask(count)
  })
})
