/**
 * topology: what an admin declares of the links between sites (src/topology/topology.ts). One for the mesh; a new one
 * replaces the one before as a whole.
 *
 * | field | type | meaning |
 * |---|---|---|
 * | paths | [{between: [text, text], rttMs?, kbit?, cost?}] | two sites, or two regions as `region:NAME`; rising |
 * | regions | [{region, upKbit?, downKbit?}] | the pipe that a region's sites share; rising by name |
 * | sites | [{site, upKbit?, downKbit?, subnets?, isReachable?}] | a site's own pipe; rising by name |
 * | version | int >= 1 | the highest counts |
 *
 * Rates in kbit/s, 1 to 10^10; times in ms, 1 to 60,000; costs 0 to 10^6. All integers. What is absent is not declared.
 */
import { readTopology, TOPOLOGY_FIELDS, type Topology } from '../../topology/topology.ts'
import { readFields, readInteger } from '../fields.ts'

export interface TopologyBody extends Topology {
  readonly version: number
}

export function decodeTopologyBody(value: unknown): TopologyBody {
  const fields = readFields(value, 'topology', [...TOPOLOGY_FIELDS, 'version'])
  return { ...readTopology(fields), version: readInteger(fields, 'version', { min: 1 }) }
}
