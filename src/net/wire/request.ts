/**
 * Requests and answers of a long-lived stream, shared by `/blocks` and `/object`.
 *
 *   type  from    body
 *   0x01  client  REQUEST: u32 id, then the protocol's own fields
 *   0x02  client  CANCEL: u32 id
 *   0x81  server  DATA: u32 id, then the protocol's own fields
 *   0x82  server  MISSING: u32 id, then the protocol's own fields
 *   0x83  server  BUSY: u32 id (what is not answered yet will not be)
 *   0x84  server  END: u32 id; nothing more comes for it
 *
 * Ids are chosen by the client, one after the other, and stay taken until END. Every request ends with END, a cancelled one too.
 */

import { FieldReader, u32 } from './fields.ts'
import { encodeFrame } from './frame.ts'

export const REQUEST = 0x01
export const CANCEL = 0x02
export const DATA = 0x81
export const MISSING = 0x82
export const BUSY = 0x83
export const END = 0x84

export const ID_BYTES = 4

/** Body of a request or an answer: its id, and the fields that follow. */
export function decodeRequestBody(body: Uint8Array): { readonly id: number; readonly fields: Uint8Array } {
  const reader = new FieldReader(body, 'request')
  return { id: reader.u32(), fields: reader.rest() }
}

export function encodeRequestFrame(type: number, id: number, fields: readonly Uint8Array[] = []): Uint8Array {
  return encodeFrame(type, [u32(id), ...fields])
}
