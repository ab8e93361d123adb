/**
 * /api/v1/pins/plan: what a change of a pin would set in motion. The last plans are kept in memory, so that a client signs
 * exactly what was shown, or learns that the mesh has moved since.
 */
import type { FastifyInstance } from 'fastify'
import { MirrorError } from '../../../src/base/errors.ts'
import { isTreePattern, matchesTree } from '../../../src/base/names.ts'
import { pinName } from '../../../src/record/kinds/pin.ts'
import { type Access, checkInside } from '../access.ts'
import { PIN_CHANGE, PIN_PLAN, type PinChange, type PinPlan, planPin } from '../pin-plan.ts'
import { says } from '../route-spec.ts'
import type { Services } from '../services.ts'
import { signalOf } from './tree-routes.ts'

const MAX_PLANS = 64

export function addPinRoutes(app: FastifyInstance, services: Services): void {
  const plans = new Map<string, PinChange>()

  async function plan(change: PinChange, access: Access, held: AbortSignal): Promise<PinPlan> {
    const state = services.ledger.state()
    // How large a part is tells whether there is anything of that name.
    if (change.paths !== undefined) {
      for (const name of state.trees.keys())
        if (isCovered(change.tree, name)) checkInside(access, state, name)
    }
    const name = pinName(change.tree, change.sites)
    const known = state.pins.get(name) ?? state.removedPins.get(name)
    return planPin(services, change, (known?.body.version ?? 0) + 1, held)
  }

  app.post(
    '/api/v1/pins/plan',
    says({
      summary: 'What a change of a pin would set in motion',
      scope: 'read',
      body: PIN_CHANGE,
      answer: PIN_PLAN,
    }),
    async ({ access, body }, reply): Promise<PinPlan> => {
      const read = PIN_CHANGE.safeParse(body)
      if (!read.success) {
        const { path, message } = read.error.issues[0]!
        throw new MirrorError('invalid', `${path.length === 0 ? 'the body' : path.join('.')}: ${message}`)
      }
      const found = await plan(read.data, access, signalOf(reply))
      plans.delete(found.id)
      if (plans.size >= MAX_PLANS) plans.delete(plans.keys().next().value!)
      plans.set(found.id, read.data)
      return found
    },
  )

  /** The plan of that id as it is now. */
  app.get<{ Params: { id: string } }>(
    '/api/v1/pins/plan/:id',
    says({ summary: 'That plan as it is now; 409 when it is stale', scope: 'read', answer: PIN_PLAN }),
    async ({ access, params }, reply): Promise<PinPlan> => {
      const id = params.id.slice(0, 64)
      const change = plans.get(id)
      if (change === undefined) {
        throw new MirrorError('not-found', `this node has made no plan ${id} of late`, {
          hint: 'A daemon keeps its last 64 plans until it ends. Plan again: mirrormesh pin plan',
        })
      }
      const now = await plan(change, access, signalOf(reply))
      if (now.id === id) return now
      throw new MirrorError(
        'conflict',
        `the plan ${id} is stale: pins, heads, members or links have changed since`,
        {
          facts: { plan: id, now: now.id },
          hint: 'Nothing was done. Look at the plan as it is now: mirrormesh pin plan',
        },
      )
    },
  )
}

/** What is no pattern is refused where it is planned. */
function isCovered(pattern: string, tree: string): boolean {
  return isTreePattern(pattern) && matchesTree(pattern, tree)
}
