/** The simulator: `simulate`, and what goes into it and comes out of it. See simulator/simulate.ts. */
export { evenPages } from './simulator/layout.ts'
export { simulate } from './simulator/simulate.ts'
export type {
  SimulatedEvent,
  SimulatedSite,
  Simulation,
  SimulationResult,
  SiteResult,
} from './simulator/simulation.ts'
