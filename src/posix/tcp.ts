/**
 * What Linux tells of a TCP connection, and what it can be told of one: the two things that decide how much of a path it
 * takes. By getsockopt and setsockopt on the descriptor, which stays its owner's. Where the system has none of it (no Linux,
 * a kernel before 4.9) nothing is known and nothing is bounded.
 */
import { libc } from './libc.ts'

const SOL_SOCKET = 1
const SO_MAX_PACING_RATE = 47
const IPPROTO_TCP = 6
const TCP_INFO = 11
const TCP_NOTSENT_LOWAT = 25
const UNBOUNDED = 0xffffffff
const ANY_PACING = 0xffff_ffff_ffff_ffffn

/** Of `struct tcp_info` in linux/tcp.h, which only ever grows at its end. */
const AT = {
  segmentBytes: 16,
  unacked: 24,
  rtt: 68,
  maxPacing: 112,
  bytesAcked: 120,
  bytesReceived: 128,
  segmentsIn: 140,
  notSentBytes: 144,
  minRtt: 148,
  dataSegmentsOut: 156,
  delivered: 192,
  outOfOrderPackets: 224,
} as const
/** Up to `data_segs_out`, which Linux has since 4.6. */
const NEEDED_BYTES = 160
const INFO_BYTES = 240

export interface TcpInfo {
  /** Smoothed, as the kernel measures it between a packet and its acknowledgement: what waits in this host is no part of it. */
  readonly rttMs: number
  /** The smallest of the last five minutes (`net.ipv4.tcp_min_rtt_wlen`); 0 before the first. */
  readonly minRttMs: number
  readonly segmentBytes: number
  /** Packets. */
  readonly unacked: number
  readonly notSentBytes: number
  /** With data or without: as many acknowledgements at most. */
  readonly segmentsIn: number
  readonly dataSegmentsOut: number
  readonly ackedBytes: number
  /**
   * The same, with what arrived behind a hole: a loss does not hold it up. To within a packet each; as `ackedBytes` before
   * Linux 4.18.
   */
  readonly deliveredBytes: number
  readonly receivedBytes: number
  /** As `boundPacing` said; undefined when nothing bounds it. */
  readonly maxBytesPerSecond: number | undefined
  /** Since Linux 5.4, else 0. A hole in front of each: a packet was lost, or came late. */
  readonly outOfOrderPackets: number
}

/** Undefined when the descriptor is no TCP connection, or the system does not tell. */
export function readTcpInfo(fd: number): TcpInfo | undefined {
  const bytes = new Uint8Array(INFO_BYTES)
  const view = new DataView(bytes.buffer)
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, INFO_BYTES, true)
  try {
    if (libc('getsockopt')(fd, IPPROTO_TCP, TCP_INFO, bytes, length) !== 0) return undefined
  } catch {
    return undefined
  }
  if (new DataView(length.buffer).getUint32(0, true) < NEEDED_BYTES) return undefined
  const ackedBytes = Number(view.getBigUint64(AT.bytesAcked, true))
  const maxPacing = view.getBigUint64(AT.maxPacing, true)
  const delivered = view.getUint32(AT.delivered, true)
  const minRttUs = view.getUint32(AT.minRtt, true)
  return {
    rttMs: view.getUint32(AT.rtt, true) / 1000,
    // All ones before the first.
    minRttMs: minRttUs === UNBOUNDED ? 0 : minRttUs / 1000,
    segmentBytes: view.getUint32(AT.segmentBytes, true),
    unacked: view.getUint32(AT.unacked, true),
    dataSegmentsOut: view.getUint32(AT.dataSegmentsOut, true),
    segmentsIn: view.getUint32(AT.segmentsIn, true),
    notSentBytes: view.getUint32(AT.notSentBytes, true),
    ackedBytes,
    maxBytesPerSecond: maxPacing === ANY_PACING ? undefined : Number(maxPacing),
    deliveredBytes: delivered === 0 ? ackedBytes : delivered * view.getUint32(AT.segmentBytes, true),
    receivedBytes: Number(view.getBigUint64(AT.bytesReceived, true)),
    outOfOrderPackets: view.getUint32(AT.outOfOrderPackets, true),
  }
}

/** How fast the kernel lets packets of the connection leave; undefined is as fast as TCP has it. @returns whether it was taken */
export function boundPacing(fd: number, bytesPerSecond: number | undefined): boolean {
  return setOption(fd, SOL_SOCKET, SO_MAX_PACING_RATE, bytesPerSecond)
}

/** How much the kernel takes of what cannot leave yet; undefined is as much as its buffers hold. @returns whether it was taken */
export function boundUnsent(fd: number, bytes: number | undefined): boolean {
  return setOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes)
}

function setOption(fd: number, level: number, name: number, bound: number | undefined): boolean {
  const value = new Uint8Array(4)
  const wanted = bound === undefined ? UNBOUNDED : Math.max(1, Math.min(UNBOUNDED - 1, Math.round(bound)))
  new DataView(value.buffer).setUint32(0, wanted, true)
  try {
    return libc('setsockopt')(fd, level, name, value, value.length) === 0
  } catch {
    return false
  }
}
