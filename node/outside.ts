/** What the gateway gives to machines outside of the mesh. It looks at rights itself; this is no traffic between sites. */

import type { Ledger } from '../src/replica/records/ledger.ts'
import { createProofs } from '../src/replica/records/proofs.ts'
import type { BlockServiceComponents } from '../src/replica/serve/block-service.ts'
import { createBlockService } from '../src/replica/serve/block-service.ts'
import { createTraffic } from '../src/replica/traffic.ts'
import type { MemberRoutesComponents } from './gateway/member-routes.ts'

export function createOutside({
  ledger,
  ...parts
}: { readonly ledger: Ledger } & Pick<
  BlockServiceComponents,
  'blocks' | 'blocksOf' | 'holdings'
>): MemberRoutesComponents {
  const proofs = createProofs({ ledger })
  return {
    proofOf: (tree) => proofs.of(tree) ?? { records: [], bytes: 0 },
    server: createBlockService({ ...parts, traffic: createTraffic(), mayRead: () => true }),
  }
}
