/** The options by which `get` asks gateways of a mesh that this machine is no member of. */
import type { Command } from 'commander'
import { MirrorError } from '../../../src/base/errors.ts'
import { MAX_LEARNED } from '../../get/mirror-list.ts'
import { parseDuration } from '../quantity.ts'

export interface OutsideOptions {
  readonly mesh?: string
  readonly gateway?: string[]
  /** Milliseconds. */
  readonly maxAge?: number
  readonly acceptOlder?: boolean
  readonly gatewayTokenFile?: string
  /** False: asks nobody but who was named. */
  readonly mirrors?: boolean
}

export function defineOutside(command: Command): Command {
  return command
    .option('--gateway <URL>', 'ask this gateway too, at the same time; may be repeated', collect)
    .option('--no-mirrors', 'ask no further gateways than those named here and before')
    .option('--mesh <ID>', 'the id of the mesh: once, then it is known for its gateways')
    .option('--max-age <TIME>', 'refuse when the newest head that is proved is older: 12h, 7d', readAge)
    .option('--accept-older', 'although a newer head has been seen here before')
    .option('--gateway-token-file <FILE>', 'a token for private trees, shown to the first gateway alone')
    .addHelpText(
      'after',
      `
With a URL or --gateway no daemon is asked: any machine can get files, from all gateways that are named, and from up to ${MAX_LEARNED}
more that those name. It needs the id of the mesh once (\`mirrormesh status --json\` at a site shows it) and believes nothing
else: what is written was signed by the tree's publisher. A get that is cut off goes on when it is given again.`,
    )
}

export function isOutside(source: string, { gateway, mesh }: OutsideOptions): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(source) || gateway !== undefined || mesh !== undefined
}

function collect(url: string, before: string[] = []): string[] {
  return [...before, url]
}

function readAge(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined) return ms
  throw new MirrorError('invalid', `--max-age is a time like 12h or 7d, not ${JSON.stringify(text)}`)
}
