/** Shows what a change of a pin would set in motion, and carries out what was shown. */
import type { PinChange, PinPlan, PlannedSite } from '../api/pin-plan.ts'
import type { AsNode } from './as-node-option.ts'
import type { Context } from './context.ts'
import { countOf, formatBytes, formatSeconds } from './quantity.ts'
import { formatTable } from './table.ts'

export async function showPinPlan(context: Context, change: PinChange, isJson: boolean): Promise<void> {
  const { api, signal, terminal, self } = context
  const plan = await api.post<PinPlan>('/api/v1/pins/plan', change, signal)
  if (isJson) {
    await terminal.print(`${JSON.stringify(plan, null, 2)}\n`)
    return
  }
  for (const note of plan.notes) terminal.say(`mirrormesh: note: ${note}`)
  await terminal.print(formatPlan(plan))
  terminal.say(`To make it so: ${self} pin apply --plan ${plan.id}`)
}

/** @throws MirrorError `conflict` when the plan is stale */
export async function applyPinPlan(
  context: Context,
  { plan: id, json, ...signer }: { plan: string; json?: boolean } & AsNode,
): Promise<void> {
  const { api, signal, terminal } = context
  const { signAsAdminOrNode } = await import('./sign.ts')
  const plan = await api.get<PinPlan>(`/api/v1/pins/plan/${encodeURIComponent(id)}`, signal)
  await signAsAdminOrNode(context, 'pin', plan.pin, signer)
  const verb = plan.pin.removed ? 'removed' : 'pinned'
  await terminal.print(json === true ? `${JSON.stringify(plan, null, 2)}\n` : `${plan.pin.name} ${verb}\n`)
}

function formatPlan(plan: PinPlan): string {
  const parts = [`plan ${plan.id}\n`]
  if (plan.sites.length > 0) {
    parts.push(
      formatTable(
        [
          { title: 'SITE' },
          { title: 'TREE' },
          { title: 'TO FETCH', align: 'right' },
          { title: 'FROM' },
          { title: 'TAKES', align: 'right' },
          { title: 'DISK AFTER', align: 'right' },
        ],
        plan.sites.flatMap(rowsOf),
      ),
    )
  }
  for (const { site, trees } of plan.released)
    parts.push(`${site} no longer keeps ${trees.join(', ')}; what it holds goes after a while\n`)
  const time = plan.seconds === null ? '' : `, in about ${formatSeconds(plan.seconds)} by the declared rates`
  parts.push(
    plan.sites.length === 0 && plan.released.length === 0
      ? 'nothing is fetched and nothing goes\n'
      : `${formatBytes(plan.bytes)} to fetch at ${countOf(plan.sites.length, 'site')}${time}\n`,
  )
  return parts.join('')
}

function rowsOf({ site, trees, seconds, freeAfterBytes }: PlannedSite): string[][] {
  return trees.map(({ tree, sequence, bytes, isUpperBound, from }, at) => [
    at === 0 ? site : '',
    `${tree}@${sequence}`,
    `${isUpperBound ? 'at most ' : ''}${formatBytes(bytes)}`,
    from.join(' ') || '-',
    at > 0 ? '' : seconds === null ? '-' : formatSeconds(seconds),
    at > 0 ? '' : freeAfterBytes === null ? '-' : `${formatBytes(Math.max(0, freeAfterBytes))} free`,
  ])
}
