/** Schemas of who is in the mesh, who may come, and who said what (member-answers.ts). */
import { z } from 'zod'
import type { AdminsDocument, InviteDocument, MemberDocument, RecordDocument } from './member-answers.ts'

export const MEMBER = z.strictObject({
  peer: z.string(),
  site: z.string(),
  region: z.string(),
  roles: z.array(z.string()),
  state: z.enum(['active', 'expired', 'revoked']),
  isConnected: z.boolean(),
  expiresMs: z.number().nullable(),
  admittedBy: z.string(),
  invite: z.string().nullable(),
  timeMs: z.number(),
  record: z.string(),
  version: z.int().exactOptional(),
  publishes: z.array(z.string()),
  chain: z.strictObject({ counter: z.int(), last: z.string().nullable() }),
}) satisfies z.ZodType<MemberDocument>

export const ADMINS = z.strictObject({
  keys: z.array(z.string()),
  threshold: z.int(),
  recovery: z.string(),
  record: z.string(),
  timeMs: z.number(),
}) satisfies z.ZodType<AdminsDocument>

export const INVITE = z.strictObject({
  id: z.string(),
  site: z.string(),
  region: z.string(),
  roles: z.array(z.string()),
  admitter: z.string(),
  expiresMs: z.number(),
  state: z.enum(['open', 'used', 'expired', 'withdrawn']),
  usedBy: z.string().nullable(),
  issuer: z.string(),
  timeMs: z.number(),
}) satisfies z.ZodType<InviteDocument>

export const RECORD = z.strictObject({
  id: z.string(),
  kind: z.string(),
  subject: z.string(),
  text: z.string(),
  issuer: z.string(),
  issuerSite: z.string().nullable(),
  isAdmin: z.boolean(),
  counter: z.int(),
  timeMs: z.number(),
  isInForce: z.boolean().nullable(),
}) satisfies z.ZodType<RecordDocument>
