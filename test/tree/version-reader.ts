/**
 * Reads a folder of versions by its link `latest` until its input ends, then says what was wrong: `version-reader.ts DIR`.
 * Each pass opens the link once and looks at every file below that, and beside it looks a file up by its whole path.
 */
import fs from 'node:fs'

const [dir] = process.argv.slice(2) as [string]
let isOver = false
let passes = 0
const wrong: string[] = []
const seen = new Set<string>()

function pass(): void {
  passes += 1
  try {
    fs.readFileSync(`${dir}/latest/file0`)
    fs.readdirSync(`${dir}/latest/dir`)
    const fd = fs.openSync(`${dir}/latest`, 'r')
    try {
      const found = new Set<string>()
      const at = `/proc/self/fd/${fd}`
      for (let i = 0; i < 3; i++) {
        found.add(fs.readFileSync(`${at}/file${i}`, 'utf8'))
        if (fs.readFileSync(`${at}/dir/same${i}`, 'utf8') !== `same ${i}`) wrong.push('same')
      }
      if (found.size !== 1) wrong.push([...found].join())
      for (const each of found) seen.add(each)
    } finally {
      fs.closeSync(fd)
    }
  } catch (error) {
    wrong.push(String(error))
  }
}

process.stdin.resume().on('end', () => {
  isOver = true
})
function look(): void {
  for (let i = 0; i < 20; i++) pass()
  if (!isOver) setTimeout(look, 1)
  else console.log(JSON.stringify({ passes, wrong: wrong.slice(0, 10), seen: [...seen] }))
}
console.log('started')
look()
