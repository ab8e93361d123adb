#!/usr/bin/env -S node --max-semi-space-size=8 --initial-old-space-size=96
/**
 * Where the program starts: checks the runtime, turns the compile cache on, and only then loads the command line.
 * Everything is imported lazily, so that an old Node never meets syntax that it cannot parse.
 */
import { runtimeProblem } from './runtime-check.ts'

const problem = runtimeProblem(process.versions.node)
if (problem === undefined) {
  import('./cli/start.ts').then(
    (start) => start.start(),
    (error) => {
      console.error(error)
      process.exitCode = 1
    },
  )
} else {
  console.error(problem)
  process.exitCode = 1
}
