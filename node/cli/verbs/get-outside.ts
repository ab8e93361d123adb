/** `get` from gateways, on a machine that is no member of the mesh. */
import { resolve } from 'node:path'
import { printableName, utf8 } from '../../../src/base/bytes.ts'
import { MirrorError } from '../../../src/base/errors.ts'
import { pathBytes } from '../../api/path-bytes.ts'
import { splitPath } from '../../api/query.ts'
import { encodeName, parseTarget } from '../../gateway/request-target.ts'
import { checkFresh, chooseMeant, pathsTakenDown } from '../../get/choose-version.ts'
import { createGateways, type Gateways } from '../../get/gateways.ts'
import { openOutsideGet } from '../../get/get-outside.ts'
import { createHttpGateway } from '../../get/http-gateway.ts'
import { openKnownMeshes } from '../../get/known-meshes.ts'
import { type Learned, learnGateways } from '../../get/learn-gateways.ts'
import { proveTree } from '../../get/prove-tree.ts'
import type { Context } from '../context.ts'
import { createProgress } from '../progress.ts'
import { formatBytes, formatSeconds } from '../quantity.ts'
import { readTokenFile } from '../remote-api.ts'
import { parseTreeSpec } from '../tree-spec.ts'
import { fileAt, writeFile } from '../write-file.ts'
import { reportCheckout } from './checkout.ts'
import type { OutsideOptions } from './outside-options.ts'

interface Options extends OutsideOptions {
  readonly replace?: boolean
  readonly devices?: boolean
  readonly json?: boolean
}

const MAX_GATEWAYS = 16

export async function getOutside(
  context: Context,
  text: string,
  dest: string,
  options: Options,
): Promise<void> {
  const { clock, signal, terminal, paths } = context
  const source = readSource(text, options.gateway ?? [])
  const knownMeshes = await openKnownMeshes(paths.knownMeshesFile)
  const { mesh, known } = knownMeshes.choose(options.mesh, source.origins)
  const origins = [...new Set([...source.origins, ...(known?.gateways ?? [])])].slice(0, MAX_GATEWAYS)
  if (origins.length === 0) {
    throw new MirrorError('invalid', 'no gateway of that mesh is known here', {
      hint: 'Name one: --gateway URL.',
    })
  }
  const token =
    options.gatewayTokenFile === undefined ? undefined : await readTokenFile(options.gatewayTokenFile)
  const all = origins.map((origin, at) => createHttpGateway(origin, at === 0 ? { token } : {}))
  const gateways = createGateways(all, clock)
  const progress = createProgress(context, { title: `get ${text}` })
  // The clock's timers keep no process alive, and between two tries nothing else would.
  const alive = setInterval(() => undefined, 2 ** 30)
  const done = new AbortController()
  let learning: Promise<readonly Learned[]> = Promise.resolve([])
  try {
    const { state, tree, names } = await proveTree(all, gateways, {
      mesh,
      path: source.path,
      clock,
      signal,
    })
    const { ref, rest } = splitRef(names, source.ref)
    const meant = chooseMeant(state, tree, ref)
    const { newest } = meant
    const seen = known?.heads[tree.name]
    checkFresh(tree, meant, {
      seen,
      acceptOlder: options.acceptOlder === true,
      maxAgeMs: options.maxAge,
      nowMs: clock.nowMs(),
    })
    if (tree.fork !== undefined) {
      terminal.say(
        `mirrormesh: the heads of ${tree.name} fork; ${newest.sequence} is the last that is not in dispute`,
      )
    }
    await knownMeshes.note({
      mesh,
      name: state.name ?? '',
      gateways: origins.filter((origin) => !gateways.left.has(origin)),
      tree: tree.name,
      head: { epoch: newest.epoch, sequence: newest.sequence, id: newest.id.toString() },
    })
    if (options.mirrors !== false && tree.body.readers === 'members') {
      learning = learnGateways(all, gateways, {
        mesh,
        tree: tree.name,
        sequence: meant.sequence,
        clock,
        signal: AbortSignal.any([signal, done.signal]),
      })
    }
    /** What is known at the end of it. */
    const finish = async () => {
      done.abort()
      const learned = await learning
      sayNewer(context, newest.sequence, learned)
      return {
        mesh: mesh.toString(),
        newestSequence: newest.sequence,
        headTimeMs: newest.timeMs,
        gateways: Object.fromEntries(gateways.given),
        learnedGateways: Object.fromEntries(learned.map(({ origin, namedBy }) => [origin, namedBy])),
        leftGateways: Object.fromEntries(gateways.left),
      }
    }
    const ageSeconds = Math.max(0, (clock.nowMs() - newest.timeMs) / 1000)
    const place = {
      tree: tree.name,
      epoch: newest.epoch,
      sequence: meant.sequence,
      snapshot: meant.snapshot.toString(),
    }
    terminal.say(
      `${tree.name}@${meant.sequence} of mesh ${printableName(utf8(state.name ?? ''))}; the newest head, ${newest.sequence}, is ${formatSeconds(ageSeconds)} old`,
    )
    const get = await openOutsideGet(
      { gateways, clock },
      {
        tree: tree.name,
        snapshot: meant.snapshot,
        withoutPaths: pathsTakenDown(state, tree.name, meant),
        names: rest.map((name) => parseTarget(`/${name}`).segments[0]!.name),
        signal,
        onProgress: (now) => progress.update(now),
      },
    )
    try {
      const { entry } = get
      if (entry.type === 'directory') {
        if (dest === '-') throw new MirrorError('invalid', `${text} is a folder: it cannot go to stdout`)
        const startMs = clock.monotonicMs()
        const result = await get.checkOutTo(dest, {
          isReplacing: options.replace === true,
          hasDevices: options.devices === true,
        })
        progress.end()
        const seconds = (clock.monotonicMs() - startMs) / 1000
        const { leftBehind, ...written } = result
        const answer = { ...place, dest: resolve(dest), ...written, seconds, ...(await finish()) }
        await reportCheckout(
          context,
          leftBehind === undefined ? answer : { ...answer, leftBehind },
          options.json === true,
        )
        return
      }
      if (entry.type !== 'file') {
        throw new MirrorError('unsupported', `${text} is a ${entry.type}: it has no content`, {
          hint: 'Get the folder that holds it.',
        })
      }
      const { mode, mtimeSec, mtimeNsec, sizeBytes } = entry
      const name = printableName(utf8(decodeLast(rest) ?? tree.name))
      const found = { ...place, type: 'file' as const, name, mode, mtimeSec, mtimeNsec, sizeBytes }
      if (dest === '-') {
        for await (const piece of get.read()) await terminal.print(piece)
        const outcome = await finish()
        if (options.json === true) terminal.say(JSON.stringify({ ...found, ...outcome }))
        return
      }
      const file = await fileAt(dest, found)
      await get.viaStore(file, {
        isReplacing: options.replace === true,
        async write(read) {
          progress.end()
          await writeFile(context, file, found, read())
        },
      })
      const outcome = await finish()
      if (options.json === true)
        await terminal.print(`${JSON.stringify({ ...found, dest: file, ...outcome }, null, 2)}\n`)
      else await terminal.print(`${name} is at ${file}, ${formatBytes(sizeBytes)}\n`)
    } finally {
      get.close()
    }
  } finally {
    done.abort()
    await learning.catch(() => undefined)
    clearInterval(alive)
    progress.end()
    sayLeft(context, gateways)
    gateways.close()
  }
}

/** Those who were named may be behind, or held up by somebody. */
function sayNewer({ terminal }: Context, sequence: number, learned: readonly Learned[]): void {
  const newer = learned.find(({ newestSequence }) => newestSequence > sequence)
  if (newer === undefined) return
  terminal.say(
    `mirrormesh: ${newer.origin} proves a newer head, ${newer.newestSequence}; the gateways that were named know of ${sequence}`,
  )
}

function sayLeft({ terminal }: Context, { left }: Gateways): void {
  for (const [origin, why] of left) terminal.say(`mirrormesh: ${origin} is not asked any more: ${why}`)
}

/** The names below it are percent-encoded, whatever the source was. */
function readSource(
  text: string,
  gateways: readonly string[],
): { readonly origins: string[]; readonly path: string; readonly ref: string | undefined } {
  const origins = gateways.map(originOf)
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    const path = /^https?:\/\/[^/?#]*([^?#]*)/i.exec(text)?.[1] ?? ''
    const origin = originOf(text)
    if (/^\/*$/.test(path)) {
      throw new MirrorError('invalid', `${text} names no tree`, {
        hint: `Write it behind the address: ${origin}/TREE/PATH. ${origin}/ lists the trees.`,
      })
    }
    // Names that a gateway would refuse are no names here either.
    parseTarget(path === '' ? '/' : path)
    return { origins: [...new Set([origin, ...origins])], path, ref: undefined }
  }
  const { tree, ref, path } = parseTreeSpec(text)
  const names = splitPath(pathBytes(path ?? '')).map(encodeName)
  return { origins: [...new Set(origins)], path: ['', tree, ...names].join('/'), ref }
}

/** In a URL the version may follow the tree, as at a gateway. */
function splitRef(
  names: readonly string[],
  ref: string | undefined,
): { readonly ref: string | undefined; readonly rest: readonly string[] } {
  const [first] = names
  if (ref !== undefined || first?.startsWith('@') !== true) return { ref, rest: names }
  return { ref: first.slice(1), rest: names.slice(1) }
}

function originOf(text: string): string {
  const url = URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '')
    return url.origin
  throw new MirrorError('invalid', `not the URL of a gateway: ${JSON.stringify(text)}`, {
    hint: 'It is like http://site.example:8080/.',
  })
}

function decodeLast(rest: readonly string[]): string | undefined {
  const last = rest.at(-1)
  return last === undefined ? undefined : Buffer.from(parseTarget(`/${last}`).segments[0]!.name).toString()
}
