/**
 * Who feeds whom now. This node measures its own links; what flows between others is asked of the sites that fetch, while
 * the map is open, a few at a time.
 */
import { useEffect, useState } from 'preact/hooks'
import type { StatusDocument } from '../../../src/replica/status/status.ts'
import type { FetchDocument, TopologyDocument } from '../../api/answers.ts'
import { getJson, type Problem } from '../api.ts'
import { status as statusState } from '../live.ts'
import { fetchAddress, runningFetches } from '../transfers/running.ts'

export interface Flow {
  readonly from: string
  readonly to: string
  readonly bytesPerSecond: number
  /** Why, in words: of which trees. */
  readonly reasons: readonly string[]
  /** Measured by this node, or told by the site that receives. */
  readonly by: 'this node' | 'the receiver'
}

const PERIOD_MS = 2500
/** Fetches that are asked about at a time. */
const ASKED = 16
/** Below it is talk: records, pings, who holds what. */
const LEAST_BYTES_PER_SECOND = 1000

export function useFlows(): { flows: readonly Flow[]; problem: Problem | undefined } {
  const [state, setState] = useState<{ flows: readonly Flow[]; problem?: Problem }>({ flows: [] })
  useEffect(() => {
    const controller = new AbortController()
    let timer: number | undefined
    const look = async (): Promise<void> => {
      const status = statusState.get()
      if (status !== undefined && !document.hidden) {
        try {
          setState({ flows: await readFlows(status, controller.signal) })
        } catch (problem) {
          if (controller.signal.aborted) return
          setState((old) => ({ ...old, problem: problem as Problem }))
        }
      }
      if (!controller.signal.aborted) timer = window.setTimeout(look, PERIOD_MS)
    }
    void look()
    return () => {
      controller.abort()
      clearTimeout(timer)
    }
  }, [])
  return { flows: state.flows, problem: state.problem }
}

async function readFlows(status: StatusDocument, signal: AbortSignal): Promise<Flow[]> {
  const running = runningFetches(status).slice(0, ASKED)
  const [{ measured }, ...fetches] = await Promise.all([
    getJson<TopologyDocument>('/api/v1/topology', signal),
    ...running.map(({ replica, tree }) =>
      // One that has just ended, or a node that cannot be asked: it shows no flow.
      getJson<FetchDocument>(fetchAddress(status, replica.site, tree.tree), signal).catch(() => undefined),
    ),
  ])
  const flows = new Map<string, Flow>()
  const add = (flow: Flow): void => {
    if (flow.bytesPerSecond < LEAST_BYTES_PER_SECOND) return
    const key = `${flow.from}>${flow.to}`
    const known = flows.get(key)
    flows.set(key, {
      ...flow,
      by: known?.by ?? flow.by,
      bytesPerSecond:
        known?.by === 'this node' ? known.bytesPerSecond : flow.bytesPerSecond + (known?.bytesPerSecond ?? 0),
      reasons: [...new Set([...(known?.reasons ?? []), ...flow.reasons])],
    })
  }
  const self = status.self.site
  for (const { site, sentBytesPerSecond, receivedBytesPerSecond } of measured) {
    add({ from: self, to: site, bytesPerSecond: sentBytesPerSecond, reasons: [], by: 'this node' })
    add({ from: site, to: self, bytesPerSecond: receivedBytesPerSecond, reasons: [], by: 'this node' })
  }
  for (const [i, fetch] of fetches.entries()) {
    const to = running[i]!.replica.site
    for (const { site, bytesPerSecond, inFlightBytes, state } of fetch?.peers ?? []) {
      if (inFlightBytes === 0) continue
      add({ from: site, to, bytesPerSecond, reasons: [`${fetch!.tree}: ${state}`], by: 'the receiver' })
    }
  }
  return [...flows.values()].toSorted((a, b) => b.bytesPerSecond - a.bytesPerSecond)
}
