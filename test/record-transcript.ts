/**
 * Runs the transcript of a page and prints the page with what its commands print now: `node test/record-transcript.ts PAGE`. What
 * differs each time comes out as `…`; read it before it takes the place of the old one.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openTerminal, patternOf, readTranscript } from './transcript.ts'

const VOLATILE: readonly [RegExp, string][] = [
  [/12D3KooW\w+/g, '12D3KooW…'],
  [/baf[yk]\w{20,}/g, 'baf…'],
  [/mm1\.[\w-]+/g, 'mm1.…'],
  [/\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?Z?/g, '…'],
  [/\b\d+(?:\.\d+)? (?:s|ms|min)\b/g, '…'],
  [/\b[0-9a-f]{16}\b/g, '…'],
]

const [page, output = page] = process.argv.slice(2)
test('record', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'mirrormesh-transcript-'))
  const terminal = openTerminal(t, dir)
  const text = readFileSync(page!, 'utf8')
  const lines = text.split('\n')
  const out: string[] = []
  let at = 0
  for (const step of readTranscript(text)) {
    out.push(...lines.slice(at, step.line))
    at = step.line + step.expected.length
    const expected = patternOf(step.expected)
    const printed = await terminal.run(step, (now) => step.expected.length === 0 || expected.test(now))
    process.stderr.write(`${step.site}$ ${step.command}\n${printed}`)
    if (step.expected.length > 0 && expected.test(printed)) out.push(...step.expected)
    else {
      let shown = printed.replaceAll(dir, '/srv')
      for (const [pattern, by] of VOLATILE) shown = shown.replace(pattern, by)
      if (shown !== '') out.push(...shown.trimEnd().split('\n'))
    }
  }
  out.push(...lines.slice(at))
  writeFileSync(output!, out.join('\n'))
  rmSync(dir, { recursive: true })
})
