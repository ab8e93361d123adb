/** One sentence for each record: what an audit shows. Names as the records have them; keys as PeerIds. */
import { isTreeName, matchesTree } from '../../src/base/names.ts'
import { peerIdOf } from '../../src/record/key.ts'
import type { GrantBody } from '../../src/record/kinds/grant.ts'
import type { PinBody } from '../../src/record/kinds/pin.ts'
import type { VerifiedRecord } from '../../src/record/record.ts'
import { describeFilter } from '../left-out.ts'

export interface RecordDescription {
  /** What the record is about: a tree, a pin, a site or a key. */
  readonly subject: string
  readonly text: string
}

/** Whether a name that somebody asks for is its subject, or a tree or site that it concerns. */
export function isAbout(record: Pick<VerifiedRecord, 'kind' | 'content'>, name: string): boolean {
  const { content } = record
  if (describeRecord(record).subject === name) return true
  if (content.kind !== 'pin') return content.kind === 'grant' && content.body.trees.includes(name)
  const { tree, sites } = content.body
  return (
    tree === name || (isTreeName(name) && matchesTree(tree, name)) || ('site' in sites && sites.site === name)
  )
}

export function describeRecord({
  kind,
  content,
}: Pick<VerifiedRecord, 'kind' | 'content'>): RecordDescription {
  switch (content.kind) {
    case 'genesis':
      return { subject: content.body.name, text: `started the mesh ${content.body.name}` }
    case 'admin-set': {
      const { keys, threshold } = content.body.admins
      return {
        subject: 'admins',
        text: `made ${keys.map((key) => peerIdOf(key)).join(', ')} the admins, ${threshold} of them to agree`,
      }
    }
    case 'member': {
      const { peer, site, region, invite } = content.body
      const how = invite === null ? '' : ' by an invite'
      return { subject: site, text: `admitted ${peerIdOf(peer)} as ${site} in ${region}${how}` }
    }
    case 'invite': {
      const { site, region, expiresMs } = content.body
      return {
        subject: site,
        text: `invited ${site} in ${region}, until ${new Date(expiresMs).toISOString()}`,
      }
    }
    case 'withdrawal':
      return {
        subject: content.body.invite.toString(),
        text: `withdrew the invite ${content.body.invite.toString()}`,
      }
    case 'revocation': {
      const { key, counter, reason } = content.body
      const what = counter === 0 ? 'with all that it said' : `after its record ${counter}`
      return { subject: peerIdOf(key), text: `revoked ${peerIdOf(key)} ${what}: ${reason}` }
    }
    case 'grant':
      return { subject: content.body.name, text: grantText(content.body) }
    case 'tree': {
      const { name, publishers, readers, removed, kind: treeKind, gate, keep } = content.body
      const listed = publishers.map((key) => peerIdOf(key)).join(', ')
      const what = readers === 'granted' ? 'private tree' : 'tree'
      return {
        subject: name,
        text: removed
          ? `removed the ${what} ${name}`
          : `declared the ${what} ${name}, published by ${listed}${settingsText({ kind: treeKind, gate, keep })}`,
      }
    }
    case 'epoch': {
      const { tree, epoch, publisher } = content.body
      return { subject: tree, text: `made ${peerIdOf(publisher)} publisher of ${tree} in epoch ${epoch}` }
    }
    case 'head': {
      const { tree, sequence, snapshot } = content.body
      return { subject: tree, text: `published ${tree}@${sequence}, snapshot ${snapshot.toString()}` }
    }
    case 'encodings': {
      const { tree, sequence, isComplete, bytes } = content.body
      const state = isComplete ? 'made' : 'is making'
      return { subject: tree, text: `${state} the deltas of ${tree}@${sequence}, ${bytes} bytes so far` }
    }
    case 'tag': {
      const { tree, tag, sequence, removed } = content.body
      return {
        subject: tree,
        text: removed ? `took the tag ${tag} from ${tree}` : `tagged ${tree}@${sequence} as ${tag}`,
      }
    }
    case 'pin': {
      const { tree, sites, removed, name, version: _version, paths, ...settings } = content.body
      const part = paths === undefined ? '' : `, only ${describeFilter([paths])}`
      const verb = removed ? 'unpinned' : 'pinned'
      return {
        subject: name,
        text: `${verb} ${tree} ${placeText(sites)}${removed ? '' : `${settingsText(settings)}${part}`}`,
      }
    }
    case 'site': {
      const { site, labels, drained, note } = content.body
      const said = [
        ...(drained ? ['drained'] : []),
        labels.length === 0 ? 'no labels' : `labels ${labels.join(', ')}`,
      ]
      return { subject: site, text: `said of the site ${site}: ${said.join(', ')}${note && `: ${note}`}` }
    }
    case 'takedown': {
      const { tree, name, reason, removed } = content.body
      return { subject: tree, text: `${removed ? 'lifted the takedown of' : 'took down'} ${name}: ${reason}` }
    }
    case 'verdict': {
      const { tree, snapshot, accepted } = content.body
      const verb = accepted ? 'accepted' : 'rejected'
      return {
        subject: tree,
        text: `${verb} what ${tree} held back for what it drops, snapshot ${snapshot.toString()}`,
      }
    }
    case 'topology':
      return { subject: 'topology', text: `declared the topology, version ${content.body.version}` }
    case 'unknown':
      return { subject: kind, text: `said what this version does not understand: ${content.reason}` }
  }
}

function grantText({ grants, name, role, trees, may, expiresMs, counter, removed }: GrantBody): string {
  const key = peerIdOf(grants[0]!)
  const since = counter === 0 ? '' : ` after its record ${counter}`
  if (removed) return `took back that ${key} (${name}) is ${role} of ${trees.join(', ')}${since}`
  const what = may.length === 0 ? '' : ` for ${may.join(', ')}`
  const until = expiresMs === null ? '' : `, until ${new Date(expiresMs).toISOString()}`
  return `made ${key} (${name}) ${role} of ${trees.join(', ')}${what}${until}${since}`
}

/** Fields that are set, as they are called in a file of the mesh. */
function settingsText(settings: Readonly<Record<string, unknown>>): string {
  return Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `, ${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join('')
}

function placeText(sites: PinBody['sites']): string {
  if ('all' in sites) return 'at every site'
  if ('label' in sites) return `at sites labelled ${sites.label}`
  return 'region' in sites ? `in region ${sites.region}` : `at ${sites.site}`
}
