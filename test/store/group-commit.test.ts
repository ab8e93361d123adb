import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupCommit } from '../../src/store/group-commit.ts'

function gatedRuns() {
  const gates: PromiseWithResolvers<void>[] = []
  const commit = groupCommit(() => {
    const gate = Promise.withResolvers<void>()
    gates.push(gate)
    return gate.promise
  })
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
  return { gates, commit, settle }
}

test('callers that come before a run begins share it', async () => {
  const { gates, commit, settle } = gatedRuns()
  const calls = [commit(), commit(), commit()]
  await settle()
  assert.equal(gates.length, 1)
  gates[0]!.resolve()
  await Promise.all(calls)
})

test('a caller that comes while a run goes on waits for the next one', async () => {
  const { gates, commit, settle } = gatedRuns()
  const first = commit()
  await settle()
  let isSecondDone = false
  const second = commit().then(() => {
    isSecondDone = true
  })
  const third = commit()
  gates[0]!.resolve()
  await first
  await settle()
  assert.equal(isSecondDone, false)
  assert.equal(gates.length, 2)
  gates[1]!.resolve()
  await Promise.all([second, third])
})

test('a run that fails fails its own callers only', async () => {
  const { gates, commit, settle } = gatedRuns()
  const first = commit()
  const rejected = assert.rejects(first, /no disk/)
  await settle()
  const second = commit()
  gates[0]!.reject(new Error('no disk'))
  await rejected
  await settle()
  gates[1]!.resolve()
  await second
})
