/** docs/a-day.md as it stands: five daemons in three regions, and each output that the page shows. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { openTerminal, patternOf, transcriptOf } from '../transcript.ts'
import { tempDir } from './temp-dir.ts'

const PAGE = join(import.meta.dirname, '../../docs/a-day.md')

test("an admin's day goes as its page shows it", { timeout: 600_000 }, async (t) => {
  const dir = await tempDir(t)
  const terminal = openTerminal(t, dir)
  const steps = transcriptOf(PAGE)
  assert.ok(steps.length > 80 && new Set(steps.map(({ site }) => site)).size >= 4, `${steps.length} steps`)
  for (const step of steps) {
    const pattern = patternOf(step.expected)
    const isExpected = (printed: string): boolean => pattern.test(printed.replaceAll(dir, '/srv'))
    const printed = await terminal.run(step, isExpected)
    assert.ok(
      isExpected(printed),
      `docs/a-day.md:${step.line}: ${step.site}$ ${step.command}\nprinted:\n${printed}\nand the page has:\n${step.expected.join('\n')}\n`,
    )
  }
})
