/** The options by which an admin says what kind a tree is, what its gate is, and what stays of it. */
import { type Command, Option } from 'commander'
import { MirrorError } from '../../src/base/errors.ts'
import type { TreeBody, TreeGate, TreeKind } from '../../src/record/kinds/tree.ts'
import { readKeepDays, readKeepLast } from './keep-option.ts'

export interface SettingsOptions {
  readonly kind?: TreeKind
  readonly private?: boolean
  readonly gateFile?: string
  readonly gateRepository?: 'deb' | 'rpm'
  /** False for --no-gate. */
  readonly gate?: boolean
  readonly keepLast?: number
  readonly keepDays?: number
  /** False for --no-keep. */
  readonly keep?: boolean
}

export type TreeSettings = Pick<TreeBody, 'kind' | 'gate' | 'keep'> & Partial<Pick<TreeBody, 'readers'>>

export function addSettings(command: Command, { isChange }: { readonly isChange: boolean }): Command {
  command
    .addOption(
      new Option(
        '--kind <KIND>',
        'simple: one moving tree; versioned: folders at its root that never change; snapshot: only what passes a gate',
      ).choices(['simple', 'versioned', 'snapshot']),
    )
    .option('--private', "only its publishers and members with a reader's grant read it (see grant add)")
    .option('--gate-file <PATH=TEXT>', 'publish only when the first line of the file PATH is TEXT')
    .addOption(
      new Option(
        '--gate-repository <FORMAT>',
        'publish only when every package repository in it has all that its metadata names',
      ).choices(['deb', 'rpm']),
    )
    .option(
      '--keep-last <N>',
      'where no pin says so: sites keep the newest N complete snapshots',
      readKeepLast,
    )
    .option(
      '--keep-days <N>',
      'where no pin says so: sites keep what was published within N days',
      readKeepDays,
    )
  if (isChange)
    command
      .option('--no-private', 'every member reads it')
      .option('--no-gate', 'publish whatever is there')
      .option('--no-keep', "leave to each site's own settings what stays")
  return command
}

/** @throws MirrorError `invalid` */
export function settingsOf(options: SettingsOptions, before: TreeSettings = {}): TreeSettings {
  const kind = options.kind ?? before.kind ?? 'simple'
  const gate = options.gate === false ? undefined : (gateOf(options) ?? before.gate)
  const readers = options.private === undefined ? before.readers : options.private ? 'granted' : 'members'
  const keep = options.keep === false ? undefined : (keepOf(options) ?? before.keep)
  if (kind === 'snapshot' && gate === undefined) {
    throw new MirrorError('invalid', 'a tree of kind snapshot has a gate', {
      hint: 'Add --gate-file PATH=TEXT or --gate-repository FORMAT, or take another kind.',
    })
  }
  return {
    ...(readers === undefined ? {} : { readers }),
    ...(kind === 'simple' ? {} : { kind }),
    ...(gate === undefined ? {} : { gate }),
    ...(keep === undefined ? {} : { keep }),
  }
}

function gateOf({ gateFile, gateRepository }: SettingsOptions): TreeGate | undefined {
  if (gateFile !== undefined && gateRepository !== undefined)
    throw new MirrorError('invalid', 'a tree has one gate: a file or its repositories')
  if (gateRepository !== undefined) return { repository: gateRepository }
  if (gateFile === undefined) return undefined
  const at = gateFile.indexOf('=')
  if (at < 1)
    throw new MirrorError('invalid', `--gate-file is PATH=TEXT, for example STATUS=FINISHED, not ${gateFile}`)
  return { path: gateFile.slice(0, at), text: gateFile.slice(at + 1) }
}

function keepOf({ keepLast, keepDays }: SettingsOptions): TreeSettings['keep'] {
  if (keepLast === undefined && keepDays === undefined) return undefined
  return {
    ...(keepLast === undefined ? {} : { last: keepLast }),
    ...(keepDays === undefined ? {} : { days: keepDays }),
  }
}

/** For people; empty lines are left out by whoever prints them. */
export function describeGate(gate: TreeGate): string {
  return 'path' in gate
    ? `published when the first line of ${gate.path} is "${gate.text}"`
    : `published when its ${gate.repository} repositories are whole`
}

export function describeKeep({ last, days }: NonNullable<TreeSettings['keep']>): string {
  return [
    ...(last === undefined ? [] : [`the newest ${last}`]),
    ...(days === undefined ? [] : [`what was published within ${days} days`]),
  ].join(', and ')
}
