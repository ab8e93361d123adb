/** Where the gateway tells of itself; not the access log. */
export interface GatewayLog {
  debug(fields: object, event: string): void
  info(fields: object, event: string): void
  warn(fields: object, event: string): void
}
