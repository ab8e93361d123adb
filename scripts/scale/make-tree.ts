/** A tree of many small files. The same numbers give the same tree. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Every so many files one has the bytes of a file from far before it. */
const REPEAT_EVERY = 8
/** Directories below one: a tree of many has two levels of them. */
const FAN_OUT = 1000

/** `files` files of 9 to 13 bytes spread over `directories` directories. @returns directories made, `folder` included */
export function makeTree(folder: string, files: number, directories: number): number {
  mkdirSync(folder)
  const perDirectory = Math.ceil(files / directories)
  let made = 1
  let upper = folder
  let current = folder
  for (let index = 0; index < files; index++) {
    if (directories > 1 && index % perDirectory === 0) {
      const number = index / perDirectory
      if (directories > FAN_OUT && number % FAN_OUT === 0) {
        upper = join(folder, `group-${number / FAN_OUT}`)
        mkdirSync(upper)
        made += 1
      }
      current = join(upper, `d${number}`)
      mkdirSync(current)
      made += 1
    }
    const seed = index % REPEAT_EVERY === REPEAT_EVERY - 1 ? Math.floor(index / REPEAT_EVERY) : index
    writeFileSync(join(current, `file-${index}`), `file ${seed}\n`)
  }
  return made
}
