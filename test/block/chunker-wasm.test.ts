import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../../src/block/chunker-wasm/', import.meta.url))

test('the committed chunker.wasm is what its source compiles to', () => {
  const temporary = mkdtempSync(join(tmpdir(), 'mirrormesh-wasm-'))
  try {
    const outFile = join(temporary, 'chunker.wasm')
    const asc = fileURLToPath(new URL('../bin/asc.js', import.meta.resolve('assemblyscript')))
    execFileSync(process.execPath, [asc, '--config', join(folder, 'asconfig.json'), '--outFile', outFile])
    const rebuilt = readFileSync(outFile)
    assert.ok(rebuilt.equals(readFileSync(join(folder, 'chunker.wasm'))), 'rebuild it: see docs/formats.md')
  } finally {
    rmSync(temporary, { recursive: true })
  }
})
