/** The document of delta.ts as the tables of docs/benchmarks.md and docs/deltas.md. */
import type { ContainerFigures } from './delta-containers.ts'
import type { DeltaPairFigures, TrialFigures } from './delta-pair.ts'
import { rounded, table } from './markdown.ts'

export interface DeltaDocument {
  readonly machine: Readonly<Record<string, string | number>>
  readonly pairs: readonly DeltaPairFigures[]
}

export interface TrialDocument {
  readonly machine: Readonly<Record<string, string | number>>
  readonly trials: readonly (TrialFigures & { readonly pair: string })[]
}

export interface ContainerDocument {
  readonly machine: Readonly<Record<string, string | number>>
  readonly containers: readonly ContainerFigures[]
}

export function containerMarkdown({ containers }: ContainerDocument): string {
  const rows = containers.map(({ pair, container, bytes, making, rsyncCompressed }) => [
    ...[pair, container],
    ...[bytes, making.newBytes, making.deltaBytes, making.restBytes, making.totalBytes].map(megabytes),
    megabytes(rsyncCompressed.sentBytes),
    rounded(making.totalBytes / rsyncCompressed.sentBytes, 2),
  ])
  const head = [
    'pair',
    'container',
    'size',
    'new',
    'deltas',
    'rest',
    'all of it',
    'rsync -az',
    'of rsync -az',
  ]
  return `${table(head, rows)}\n`
}

export function deltaMarkdown({ pairs }: DeltaDocument): string {
  const named = (row: (pair: DeltaPairFigures) => readonly string[]): string[][] =>
    pairs.map((pair) => [`${pair.kind}/${pair.name}`, ...row(pair)])
  return [
    '### Bytes from one build to the next, MB',
    table(
      [
        ...['pair', 'size', 'new', 'zstd', 'deltas', 'rest', 'metadata', 'all of it'],
        ...['rsync -a', 'rsync -az', 'zstd -15 --patch-from'],
      ],
      named(({ bytes, making, rsync, rsyncCompressed, patch }) => [
        ...[bytes, making.newBytes, making.zstdBytes, making.deltaBytes, making.restBytes].map(megabytes),
        ...[making.metadataBytes + making.planBytes, making.totalBytes].map(megabytes),
        ...[rsync.sentBytes, rsyncCompressed.sentBytes].map(megabytes),
        patch === undefined ? '' : megabytes(patch.bytes),
      ]),
    ),
    '### As multiples',
    table(
      ['pair', 'of zstd', 'of rsync -a', 'of rsync -az', 'of zstd -15 --patch-from', 'missed by rsync'],
      named(({ making, rsync, rsyncCompressed, patch }) => [
        rounded(making.totalBytes / (making.zstdBytes + making.metadataBytes), 2),
        rounded(making.totalBytes / rsync.sentBytes, 2),
        rounded(making.totalBytes / rsyncCompressed.sentBytes, 2),
        patch === undefined ? '' : rounded(making.totalBytes / patch.bytes, 2),
        `${rsync.missedFiles}`,
      ]),
    ),
    '### What it costs',
    table(
      [
        ...['pair', 'deltas', 'first after, s', 'made in, s', 'CPU s', 'MB/s a core', 'peak MB'],
        ...['applied, CPU s', 'MB/s a core', 'peak MB', 'rsync -az, CPU s', '--patch-from, CPU s', 'peak MB'],
      ],
      named(({ making, applying, rsyncCompressed, patch }) => [
        `${making.deltas}`,
        ...[making.firstSeconds, making.seconds, making.cpuSeconds].map((value) => rounded(value, 1)),
        ...[making.MBpsPerCore, making.peakMB].map((value) => rounded(value, 0)),
        rounded(applying.cpuSeconds, 1),
        ...[applying.MBpsPerCore, applying.peakMB].map((value) => rounded(value, 0)),
        rounded(rsyncCompressed.cpuSeconds, 1),
        patch === undefined ? '' : rounded(patch.cpuSeconds, 1),
        patch === undefined ? '' : rounded(patch.peakMB, 0),
      ]),
    ),
    '',
  ].join('\n\n')
}

export function trialMarkdown({ trials }: TrialDocument): string {
  const rows = trials.map(({ pair, trial, making, applying }) => [
    pair,
    ...[trial.sizes?.maxRunBytes, trial.sizes?.maxWindowBytes, trial.sizes?.marginBytes].map((bytes) =>
      bytes === undefined ? '' : `${bytes / 1024}`,
    ),
    trial.efforts === undefined ? '' : Object.values(trial.efforts.binary).join(', '),
    `${making.deltas}`,
    ...[making.deltaBytes, making.restBytes, making.totalBytes].map(megabytes),
    ...[making.MBpsPerCore, making.peakMB, applying.MBpsPerCore].map((value) => rounded(value, 0)),
  ])
  const head = ['pair', 'run, KiB', 'window, KiB', 'margin, KiB', 'level, hash, chain', 'deltas']
  return `${table(
    [
      ...head,
      'deltas, MB',
      'rest, MB',
      'all of it, MB',
      'made, MB/s a core',
      'peak MB',
      'applied, MB/s a core',
    ],
    rows,
  )}\n`
}

function megabytes(bytes: number): string {
  return rounded(bytes / 1e6, bytes < 10e6 ? 3 : 1)
}
