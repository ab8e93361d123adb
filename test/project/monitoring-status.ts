/** A mesh in which something is wrong: two sites, one silent, one tree behind at both. */
import type { StatusDocument } from '../../src/replica/status/status.ts'

const NONE = { bytesSent: 0, bytesReceived: 0, plainBytesSent: 0, plainBytesReceived: 0 }
const SITE = { region: 'eu', addresses: [], version: '1.2.3', labels: [], drained: false, note: '' }
const REPLICA = { sequence: 1, missingBytes: null, checkouts: [] }

const withTrouble: StatusDocument = {
  mesh: { name: 'm', id: 'i' },
  self: { peer: 'a', site: 'hq', region: 'eu', version: '1.2.3' },
  sites: [
    { ...SITE, site: 'hq', peer: 'a', state: 'self', ageSeconds: 0, freeBytes: 77 },
    { ...SITE, site: 'lab', peer: 'b', state: 'silent', ageSeconds: 900 },
  ],
  trees: [
    {
      tree: 'x',
      epoch: 1,
      sequence: 2,
      snapshot: 's',
      publisher: 'a',
      files: 1,
      bytes: 1,
      sites: [
        { ...REPLICA, site: 'hq', state: 'behind', hasFailed: true, lag: { snapshots: 1, sinceMs: 6_000 } },
        { ...REPLICA, site: 'lab', state: 'behind', lag: { snapshots: 2, sinceMs: 1_000 } },
      ],
    },
  ],
  traffic: {
    peers: [],
    classes: { site: NONE, region: NONE, wan: NONE },
    blocksSent: 0,
    blocksSentMoreThanOnce: 0,
    bytesSentBeforeComplete: 0,
  },
  alarms: [],
}

export const STATUSES = { withTrouble }
