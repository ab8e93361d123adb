/**
 * Every bound of the network in one place. They hold against a member that misbehaves; strangers never get that far.
 * What one peer can make this node hold is about (streams x 1 MiB read) + (32 active answers x one block).
 */
export const KIB = 1024
export const MIB = 1024 * KIB

/** Writes to a stream: larger frames are cut. 16 KiB writes reach a third of the speed of 256 KiB ones. */
export const WRITE_UNIT_BYTES = 256 * KIB
/** Written to a connection and not yet taken by the kernel: above it streams wait. */
export const TLS_WRITE_HIGH_BYTES = 256 * KIB
/** Received and not yet handled, per stream: above it the stream is paused, and the sender's window runs out. */
export const READ_HIGH_BYTES = 1 * MIB
export const READ_LOW_BYTES = 256 * KIB
/** Window of a stream: 16 MiB over 150 ms is 112 MB/s. The read buffer of a paused stream has to hold all of it. */
export const MAX_STREAM_WINDOW_BYTES = 16 * MIB
/** Of a stream on which we serve: what is asked there is short, and a peer has hundreds of them. */
export const MAX_SERVED_WINDOW_BYTES = 1 * MIB

/** A stream that was opened and says nothing. */
export const FIRST_FRAME_TIMEOUT_MS = 15_000
/** A frame that began has this long, and its size at 16 KiB/s on top, to be complete. */
export const FRAME_TIMEOUT_MS = 60_000
export const FRAME_FLOOR_BYTES_PER_MS = 16
/** A write unit that the other side does not take: its stream is reset. */
export const WRITE_STALL_TIMEOUT_MS = 60_000
/** A request with nothing at all arriving on its stream. */
export const ANSWER_STALL_TIMEOUT_MS = 30_000
/** A stream of requests that nobody uses is closed by the asking side, later by the other; the next request opens another. */
export const IDLE_CHANNEL_TIMEOUT_MS = 4 * 60_000
export const IDLE_STREAM_TIMEOUT_MS = 5 * 60_000
/** Its negotiation queues behind what the connection carries already. */
export const OPEN_STREAM_TIMEOUT_MS = 30_000
/** Further connections for blocks are closed when nothing was asked for so long. */
export const BULK_IDLE_MS = 15_000
export const DIAL_TIMEOUT_MS = 15_000
export const STOP_TIMEOUT_MS = 5_000

export const MAX_TREE_NAME_BYTES = 520
export const MAX_OFFSETS_PER_REQUEST = 1024
/** Blocks that travel in one frame: enough that a block costs no message, and little to wait for on a slow link. */
export const MAX_BATCH_BYTES = 64 * KIB
/** Requests that one channel keeps in flight; more wait at the client. */
export const MAX_REQUESTS_IN_FLIGHT = 64
/** Requests of one peer that wait or run here; one more is answered `busy`. */
export const MAX_REQUESTS_PER_PEER = 256
/** Requests of one stream that are answered at the same time, each holding one block at most. */
export const MAX_ACTIVE_PER_STREAM = 4
export const MAX_ACTIVE_PER_PEER = 32
/** Of all peers together. */
export const MAX_ACTIVE_REQUESTS = 128
export const MAX_CHANNELS_PER_PEER = 8

export const MAX_RECORD_BYTES = 64 * KIB
export const MAX_RECORDS_FRAME_BYTES = 320 * KIB
export const MAX_RECONCILE_BYTES = 256 * KIB
export const MAX_RECONCILE_ROUNDS = 64
export const MAX_IDS_PER_FRAME = 4096
/** Ids that one side asks for in one reconciliation; what is left over waits for the next. */
export const MAX_IDS_PER_SESSION = 262_144
export const MAX_STATUS_BYTES = 32 * KIB
export const MAX_WATCHES_PER_PEER = 256
export const MAX_UPDATE_ENTRIES = 65_536

export const GUEST_TIMEOUT_MS = 15_000
export const MAX_GUESTS = 8
/** So that one stranger does not keep out all others. */
export const MAX_GUESTS_PER_ADDRESS = 4
/** One is the rule, two when both dial at once, 8 where blocks need them; one more closes the oldest, which may be what a restart left behind. */
export const MAX_INBOUND_PER_PEER = 10
export const MAX_JOIN_RECORDS = 100_000
export const MAX_JOIN_BYTES = 64 * MIB
export const MAX_CONNECTIONS = 2_000
export const MAX_PENDING_INBOUND = 256
/** Of one address (of an IPv6 /64), for whoever opens connections and says nothing: others get in meanwhile. */
export const MAX_PENDING_PER_ADDRESS = 64
/** New inbound connections a second from one address: a site behind NAT restarts as a whole. */
export const MAX_INBOUND_PER_SECOND = 100
export const MAX_TRACKED_PEERS = 1_024

/** Reservations that a node that cannot be dialled holds at others. */
export const RELAYS_SOUGHT = 3
/** Reservations that a relay gives, and connections that it carries at a time. */
export const MAX_RESERVATIONS = 256
export const MAX_CIRCUITS = 256
export const MAX_CIRCUITS_PER_CONNECTION = 64
/** A reservation that is not renewed ends, and what is relayed by it. It is renewed 5 minutes before. */
export const RESERVATION_MS = 60 * 60_000
export const RESERVE_TIMEOUT_MS = 10_000
/** A member that refused a reservation, or did not answer, is not asked again for so long. */
export const RESERVE_PAUSE_MS = 60_000
export const RESERVE_REVIEW_MS = 10_000
/** What a relay has read of one direction of a connection, and not sent on: above it the sender is paused. */
export const RELAY_HIGH_BYTES = 256 * KIB
export const RELAY_LOW_BYTES = 64 * KIB
/** Of one direction: what its sender may send ahead, which the relay holds when the other end takes nothing. 27 MB/s over 150 ms. */
export const RELAY_MAX_WINDOW_BYTES = 4 * MIB
/**
 * Of all windows beyond the first 256 KiB of each. A window is held twice when it is read at once and the next is underway: with that, a
 * relay holds 640 MiB at most.
 */
export const RELAY_POOL_BYTES = 128 * MIB
/** Direct addresses of a peer that can be reached through a relay too. */
export const DIRECT_FIRST_MS = 5_000
