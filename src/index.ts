/**
 * The engine, for programs that embed it: blocks and trees on disk, records, the network host, fetches. The product
 * around it (daemon, command line, gateway) is node/. What is exported here changes with notice in CHANGELOG.md; what
 * is not may change at any time.
 */

// Failure, time
export type { Clock } from './base/clock.ts'
export { systemClock } from './base/clock.ts'
export type { ErrorCode, ErrorFacts } from './base/errors.ts'
export { isMirrorError, MirrorError } from './base/errors.ts'
export { VirtualClock } from './base/virtual-clock.ts'

// Blocks
export type { Block } from './block/block.ts'
export type { Cid } from './block/cid.ts'
export { cidOf, DAG_CBOR, parseCid, RAW, verifyBlock } from './block/cid.ts'

// Trees as a DAG
export type { DirectoryEntry, Entry, FileEntry, SymlinkEntry } from './dag/entry.ts'
export type { Change, NodeSource, WalkStep } from './dag/reader.ts'
export { closure, diff, fileParts, listPages, lookUp, readDirectory, readPage, walk } from './dag/reader.ts'
export type { Snapshot } from './dag/snapshot.ts'
export { decodeSnapshot, encodeSnapshot } from './dag/snapshot.ts'
// Network and replication
export { startHost } from './net/host.ts'
export type { BlockServer, HoldingUpdate, Host, Membership, RecordExchange } from './net/ports.ts'
// Records
export type { KeyPair, PeerId } from './record/key.ts'
export { generateKeyPair, keyPairFromSeed, peerIdOf } from './record/key.ts'
export type { MeshState } from './record/mesh-state.ts'
export { mayRead } from './record/mesh-state.ts'
export { foldRecords } from './record/mesh-state-builder.ts'
export type { VerifiedRecord } from './record/record.ts'
export { decodeSigned } from './record/record.ts'
export type { Fetch, FetchProgress } from './replica/fetch/fetch-session.ts'
export { startFetch } from './replica/fetch/fetch-session.ts'
export { createHoldings } from './replica/holdings/holdings.ts'
export { createBlocksOf } from './replica/holdings/tree-views.ts'
export { createScheduler } from './replica/scheduler/scheduler.ts'
export { createBlockService } from './replica/serve/block-service.ts'
export { createTraffic } from './replica/traffic.ts'
// Blocks and trees on disk
export type { BlockReader, BlockStore } from './store/block-store.ts'
export { createMemoryStore } from './store/memory-store.ts'
export type { Store } from './store/store.ts'
export { openStore } from './store/store.ts'
export { pathClass } from './topology/path-class.ts'
export type { CheckoutResult } from './tree/checkout/checkout.ts'
export { checkOut } from './tree/checkout/checkout.ts'
export { compareTree } from './tree/compare/compare.ts'
export type { ImportCounts, ImportResult } from './tree/import/import.ts'
export { importTree } from './tree/import/import.ts'
export { createFileReader } from './tree/read-file.ts'
