/** Trees of the cases that break mirrors, made with what the running user may make. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { DEFAULT_CHUNKER } from '../../src/block/chunker.ts'
import { makeSpecial } from '../../src/posix/special.ts'
import { setXattr } from '../../src/posix/xattr.ts'
import { bytesPath, noise, setTime } from './trees.ts'

export interface Maker {
  readonly uid: number
  readonly gid: number
  /** A group that the maker is in beside its own; undefined for root, who may give to any. */
  readonly otherGid?: number
}

const isRootMaker = ({ uid }: Maker): boolean => uid === 0

/** It is in a folder of the administrator's. */
function setCapabilities(args: readonly string[]): void {
  execFileSync('setcap', args, { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } })
}

export const CASES: Readonly<Record<string, (dir: string, maker: Maker) => void>> = {
  names(dir) {
    const names = [
      Buffer.from([0xff, 0xfe, 0x80]),
      Buffer.from([0xff, 0xfe, 0x81]),
      Buffer.from('line\nbreak\r\t\x1b[31m'),
      Buffer.from([0x63, 0x80, 0x9f]),
      Buffer.from('caf\u00e9'),
      Buffer.from('cafe\u0301'),
      Buffer.from('-rf'),
      Buffer.from('trailing . '),
      Buffer.from('back\\slash%2f,comma'),
      Buffer.from('x'.repeat(255)),
      ...['A', 'a', 'STATUS', 'PROTECTED', '.~tmp~', '.mirrormesh', '\u{1f980}'].map((name) =>
        Buffer.from(name),
      ),
    ]
    for (const [index, name] of names.entries()) fs.writeFileSync(bytesPath(dir, name), `file ${index}`)
    fs.mkdirSync(path.join(dir, ...Array.from({ length: 3 }, (_, at) => String(at).repeat(175))), {
      recursive: true,
    })
    fs.mkdirSync(path.join(dir, ...new Array<string>(80).fill('d')), { recursive: true })
    for (let index = 0; index < 500; index++)
      fs.mkdirSync(path.join(dir, 'empty-dirs', `e${index}`), { recursive: true })
  },

  types(dir, maker) {
    makeSpecial(Buffer.from(path.join(dir, 'fifo')), 'fifo', { major: 0, minor: 0 })
    makeSpecial(Buffer.from(path.join(dir, 'socket')), 'socket', { major: 0, minor: 0 })
    fs.chmodSync(path.join(dir, 'fifo'), 0o622)
    fs.chmodSync(path.join(dir, 'socket'), 0o755)
    if (isRootMaker(maker)) {
      makeSpecial(Buffer.from(path.join(dir, 'null')), 'character-device', { major: 1, minor: 3 })
      makeSpecial(Buffer.from(path.join(dir, 'disk')), 'block-device', { major: 259, minor: 300_000 })
      fs.chmodSync(path.join(dir, 'null'), 0o666)
      fs.chownSync(path.join(dir, 'disk'), 0, 6)
    }
    for (const name of ['zero-1', 'zero-2']) fs.writeFileSync(path.join(dir, name), '')
    for (const target of [
      'nowhere',
      '/etc/passwd',
      '../../../..',
      'fifo',
      'socket',
      'dir',
      'zero-1',
      'y'.repeat(4095),
    ]) {
      fs.symlinkSync(target, path.join(dir, `to-${target.replaceAll('/', '_').slice(0, 20)}`))
    }
    fs.symlinkSync('loop', path.join(dir, 'loop'))
    fs.symlinkSync(Buffer.from([0xe9, 0x0a]), path.join(dir, 'odd-target'))
    fs.mkdirSync(path.join(dir, 'dir'))
  },

  links(dir, maker) {
    const at = (...names: string[]): string => path.join(dir, ...names)
    fs.mkdirSync(at('a', 'b'), { recursive: true })
    fs.mkdirSync(at('z'))
    fs.writeFileSync(at('a', 'b', 'one'), noise(200_000))
    for (const name of [at('z', 'two'), at('three'), at('a', 'four')]) fs.linkSync(at('a', 'b', 'one'), name)
    fs.symlinkSync('nowhere', at('a', 'symlink'))
    fs.linkSync(at('a', 'symlink'), at('z', 'symlink'))
    makeSpecial(Buffer.from(at('a', 'pipe')), 'fifo', { major: 0, minor: 0 })
    fs.linkSync(at('a', 'pipe'), at('z', 'pipe'))
    if (isRootMaker(maker)) {
      makeSpecial(Buffer.from(at('a', 'zero')), 'character-device', { major: 1, minor: 5 })
      fs.linkSync(at('a', 'zero'), at('z', 'zero'))
    }
    fs.writeFileSync(at('empty'), '')
    fs.linkSync(at('empty'), at('z', 'empty'))
    for (const name of ['equal-1', 'equal-2']) fs.writeFileSync(at(name), noise(200_000))
    for (const name of ['nothing-1', 'nothing-2']) fs.writeFileSync(at(name), '')
    fs.writeFileSync(at('..', '..', 'outside'), 'shared with a name outside of the tree')
    fs.linkSync(at('..', '..', 'outside'), at('inside'))
    // Of an inode with attributes and holes every name has them.
    fs.writeFileSync(at('rich'), noise(5000))
    fs.truncateSync(at('rich'), 100_000)
    setXattr(Buffer.from(at('rich')), Buffer.from('user.rich'), Buffer.from('yes'))
    fs.linkSync(at('rich'), at('z', 'rich'))
  },

  times(dir) {
    const times: [string, number, number][] = [
      ['before-1970', -1_000_000_000, 999_999_999],
      ['second-before', -1, 1],
      ['epoch', 0, 0],
      ['nanosecond', 1_600_000_000, 1],
      ['after-2038', 2_147_483_648, 123_456_789],
      ['after-2106', 4_294_967_300, 5],
    ]
    for (const [name, sec, nsec] of times) {
      fs.writeFileSync(path.join(dir, name), name)
      fs.symlinkSync(name, path.join(dir, `link-${name}`))
      fs.mkdirSync(path.join(dir, `dir-${name}`))
      fs.writeFileSync(path.join(dir, `dir-${name}`, 'child'), '')
      makeSpecial(Buffer.from(path.join(dir, `fifo-${name}`)), 'fifo', { major: 0, minor: 0 })
      for (const prefix of ['', 'link-', 'dir-', 'fifo-']) setTime(path.join(dir, prefix + name), sec, nsec)
    }
  },

  permissions(dir, maker) {
    const closed = path.join(dir, 'closed')
    fs.mkdirSync(path.join(closed, 'inner'), { recursive: true })
    for (const mode of [0o000, 0o4755, 0o2755, 0o1644, 0o6711, 0o777, 0o400, 0o200]) {
      const file = path.join(closed, 'inner', mode.toString(8))
      // What its own user may not read can only be captured when there is nothing to read.
      fs.writeFileSync(file, isRootMaker(maker) || (mode & 0o400) !== 0 ? `mode ${mode}` : '')
      fs.chmodSync(file, mode)
    }
    for (const mode of [0o3777, 0o2750, 0o1777, 0o700]) {
      fs.mkdirSync(path.join(dir, mode.toString(8)))
      fs.writeFileSync(path.join(dir, mode.toString(8), 'child'), '')
      fs.chmodSync(path.join(dir, mode.toString(8)), mode)
    }
    const owners: [string, number, number, number][] = isRootMaker(maker)
      ? [
          ['named', 1, 2, 0o644],
          ['unnamed', 123_456, 654_321, 0o640],
          ['suid', 65_534, 70_000, 0o6755],
          ['huge', 4_000_000_000, 0, 0o600],
        ]
      : [['shared', maker.uid, maker.otherGid ?? maker.gid, 0o664]]
    for (const [name, uid, gid, mode] of owners) {
      fs.writeFileSync(path.join(dir, name), name)
      fs.chownSync(path.join(dir, name), uid, gid)
      fs.chmodSync(path.join(dir, name), mode)
      fs.symlinkSync(name, path.join(dir, `to-${name}`))
      fs.lchownSync(path.join(dir, `to-${name}`), uid, gid)
      fs.mkdirSync(path.join(dir, `dir-${name}`))
      fs.chownSync(path.join(dir, `dir-${name}`), uid, gid)
      fs.chmodSync(path.join(dir, `dir-${name}`), 0o2775)
    }
    fs.chmodSync(path.join(closed, 'inner'), 0o555)
    fs.chmodSync(closed, 0o500)
  },

  attributes(dir, maker) {
    const at = (name: string): string => path.join(dir, name)
    const set = (name: string, attribute: string, value: Uint8Array): void =>
      setXattr(Buffer.from(at(name)), Buffer.from(attribute), value)
    for (const name of ['plain', 'binary', 'many', 'large', 'read-only', 'acl', 'capable']) {
      fs.writeFileSync(at(name), name)
    }
    fs.mkdirSync(at('tagged-dir'))
    set('plain', 'user.empty', new Uint8Array())
    set('binary', 'user.\xff\n', Uint8Array.of(0, 255, 10, 0))
    for (let index = 0; index < 110; index++) set('many', `user.a${index}`, Buffer.from(String(index)))
    // A 4 KiB block is what ext4 has for attributes by default.
    set('large', 'user.large', noise(3000))
    set('tagged-dir', 'user.tag', Buffer.from('directory'))
    set('read-only', 'user.tag', Buffer.from('x'))
    fs.chmodSync(at('read-only'), 0o400)
    execFileSync('setfacl', ['-m', 'u:1234:rw-,g:4321:r--,g::---,m::rw-', at('acl')])
    fs.mkdirSync(at('acl-dir'))
    fs.writeFileSync(path.join(at('acl-dir'), 'before'), 'made before the default ACL')
    execFileSync('setfacl', ['-m', 'u:1234:r-x', '-d', '-m', 'u:1234:rwx,g:77:---', at('acl-dir')])
    fs.writeFileSync(path.join(at('acl-dir'), 'after'), 'made after it')
    fs.mkdirSync(path.join(at('acl-dir'), 'sub'))
    if (!isRootMaker(maker)) return
    setCapabilities(['cap_net_raw,cap_net_bind_service=ep', at('capable')])
    fs.writeFileSync(at('capable-of-another'), 'x')
    fs.chownSync(at('capable-of-another'), 12, 34)
    setCapabilities(['cap_net_raw=ep', at('capable-of-another')])
    set('plain', 'trusted.tag', Buffer.from('trusted'))
    set('plain', 'security.selinux', Buffer.from('system_u:object_r:etc_t:s0\0'))
    fs.symlinkSync('plain', at('link'))
    set('link', 'trusted.on-a-link', Buffer.from('link'))
    makeSpecial(Buffer.from(at('pipe')), 'fifo', { major: 0, minor: 0 })
    set('pipe', 'trusted.on-a-fifo', Buffer.from('fifo'))
  },

  sparse(dir) {
    const make = (name: string, size: number, data: readonly [number, number][]): void => {
      const fd = fs.openSync(path.join(dir, name), 'w')
      for (const [offset, length] of data) fs.writeSync(fd, noise(length, offset + 1), 0, length, offset)
      fs.ftruncateSync(fd, size)
      fs.closeSync(fd)
    }
    make('leading', 1_000_000, [[900_000, 100_000]])
    make('trailing', 3_000_001, [[0, 5000]])
    make('middle', 40_000_000, [
      [0, 4096],
      [19_999_000, 3],
      [39_000_000, 1_000_000],
    ])
    make('hole-only', 30_000_000, [])
    make('small-hole', 100, [])
    make('page-in-the-middle', 12_288, [
      [0, 4096],
      [8192, 4096],
    ])
    fs.writeFileSync(path.join(dir, 'stored-zeros'), Buffer.alloc(3_000_000))
  },

  sizes(dir) {
    const { minBytes, avgBytes, maxBytes } = DEFAULT_CHUNKER
    for (const limit of [1, minBytes, avgBytes, maxBytes]) {
      for (const size of [limit - 1, limit, limit + 1]) {
        fs.writeFileSync(path.join(dir, `random-${size}`), noise(size, size + 1))
        fs.writeFileSync(path.join(dir, `zeros-${size}`), Buffer.alloc(size))
      }
    }
    fs.writeFileSync(path.join(dir, 'repeated'), Buffer.concat(new Array<Buffer>(40).fill(noise(50_000))))
    fs.writeFileSync(path.join(dir, 'large'), noise(21_000_001, 9))
  },
}

/** Every case in a directory of its own below `root`; the root has a mode, a time and attributes of its own. */
export function makeEveryCase(root: string, maker: Maker): void {
  for (const [name, make] of Object.entries(CASES)) {
    fs.mkdirSync(path.join(root, name), { recursive: true })
    make(path.join(root, name), maker)
  }
  setXattr(Buffer.from(root), Buffer.from('user.root'), Buffer.from('of the root'))
  fs.chmodSync(root, 0o2751)
  setTime(root, 1_234_567_890, 987_654_321)
}
