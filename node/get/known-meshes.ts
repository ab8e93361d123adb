/**
 * What a user of this machine has been told of meshes, and has seen of them: a mesh's id (never learned from a gateway), the
 * gateways that it was reached by, and the newest head seen of each tree, so that no gateway can lead back to an older
 * one. One small file, written whole or not at all.
 */
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { asMirrorError, MirrorError } from '../../src/base/errors.ts'
import { type Cid, parseCid } from '../../src/block/cid.ts'
import { makePrivateDir, writeDurably } from '../durable-file.ts'

const FILE = z.strictObject({
  version: z.literal(1),
  meshes: z.array(
    z.strictObject({
      id: z.string(),
      name: z.string(),
      gateways: z.array(z.string()),
      heads: z.record(z.string(), z.strictObject({ epoch: z.int(), sequence: z.int(), id: z.string() })),
    }),
  ),
})

export type KnownMesh = z.output<typeof FILE>['meshes'][number]
export type SeenHead = KnownMesh['heads'][string]

export interface KnownMeshes {
  /** The mesh that a user named, or else the one that one of the gateways is known for. */
  choose(
    named: string | undefined,
    gateways: readonly string[],
  ): { readonly mesh: Cid; readonly known: KnownMesh | undefined }
  /** Keeps what was seen; the newer of two heads. */
  note(seen: {
    mesh: Cid
    name: string
    gateways: readonly string[]
    tree: string
    head: SeenHead
  }): Promise<void>
}

const MAX_GATEWAYS = 64
const MAX_HEADS = 4096

export async function openKnownMeshes(file: string): Promise<KnownMeshes> {
  const meshes = await read(file)
  return {
    choose(named, gateways) {
      const byGateway = meshes.find((mesh) => gateways.some((origin) => mesh.gateways.includes(origin)))
      if (named === undefined) {
        if (byGateway !== undefined) return { mesh: parseCid(byGateway.id), known: byGateway }
        throw new MirrorError('invalid', `it is not known here which mesh ${gateways.join(', ')} is of`, {
          hint: 'Say it once with --mesh ID; whoever runs the mesh reads the id off `mirrormesh status`. A gateway is not asked: it could lie.',
        })
      }
      const mesh = meshOf(named)
      const other = meshes.find(
        ({ id, gateways: its }) => id !== named && gateways.some((each) => its.includes(each)),
      )
      if (other !== undefined) {
        throw new MirrorError(
          'conflict',
          `${gateways.join(', ')} is known here as a gateway of another mesh, ${other.name} ${other.id}`,
          {
            hint: `If it has changed hands, take it out of ${file}.`,
          },
        )
      }
      return { mesh, known: meshes.find(({ id }) => id === mesh.toString()) }
    },
    async note({ mesh, name, gateways, tree, head }) {
      const id = mesh.toString()
      // Another process may have written meanwhile.
      const now = await read(file)
      const before = now.find((each) => each.id === id) ?? { id, name, gateways: [], heads: {} }
      const seen = before.heads[tree]
      const heads = {
        ...before.heads,
        [tree]: seen !== undefined && seen.sequence > head.sequence ? seen : head,
      }
      const after: KnownMesh = {
        id,
        name,
        gateways: [...new Set([...gateways, ...before.gateways])].slice(0, MAX_GATEWAYS),
        heads: Object.fromEntries(Object.entries(heads).slice(-MAX_HEADS)),
      }
      await makePrivateDir(dirname(file))
      const text = JSON.stringify(
        { version: 1, meshes: [after, ...now.filter((each) => each.id !== id)] },
        null,
        2,
      )
      await writeDurably(file, `${text}\n`, { mode: 0o600 })
    },
  }
}

function meshOf(text: string): Cid {
  try {
    return parseCid(text)
  } catch (cause) {
    throw new MirrorError('invalid', `not the id of a mesh: ${JSON.stringify(text.slice(0, 100))}`, {
      hint: 'It begins with bafyr4i; `mirrormesh status --json` at a site shows it as mesh.id.',
      cause,
    })
  }
}

async function read(file: string): Promise<KnownMesh[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw asMirrorError(error, `read ${file}`)
  }
  try {
    return FILE.parse(JSON.parse(text)).meshes
  } catch (cause) {
    throw new MirrorError('corrupt', `${file} is not what mirrormesh wrote there`, {
      hint: 'Move it away, and say --mesh again.',
      cause,
    })
  }
}
