/** What every page is given. */
import type { StatusDocument } from '../../src/replica/status/status.ts'
import type { Route } from './route.ts'

export interface PageProps {
  readonly status: StatusDocument
  readonly route: Route
}
