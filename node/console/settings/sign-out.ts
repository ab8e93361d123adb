/** Ends the session of this browser at the node, and forgets what the page signed with. */
import { signer } from '../actions/keys.ts'
import { postJson } from '../api.ts'
import { reconnect, status } from '../live.ts'

export async function deleteSession(): Promise<void> {
  signer.set(undefined)
  // A node that cannot be reached ends it by itself in time.
  await postJson('/console/logout', {}).catch(() => undefined)
  status.set(undefined)
  reconnect()
}
