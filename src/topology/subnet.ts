/** Subnets as text: `10.2.0.0/16`, `2001:db8::/32`. */
import { isIP } from 'node:net'

/** True for an address and a prefix length that name the whole subnet: no bit is set behind the length. */
export function isSubnet(text: string): boolean {
  const match = /^([0-9a-f.:]{2,45})\/(0|[1-9]\d{0,2})$/.exec(text)
  const [, address = '', length] = match ?? []
  const bits = addressBits(address)
  return bits !== undefined && Number(length) <= bits.length && !bits.slice(Number(length)).includes('1')
}

/** 32 or 128 characters `0` and `1`; undefined for what is not an address. */
export function addressBits(address: string): string | undefined {
  const version = isIP(address)
  if (version === 4)
    return address
      .split('.')
      .map((part) => binary(Number(part), 8))
      .join('')
  if (version !== 6) return undefined
  const [head = '', tail] = address.split('::')
  const before = groups(head)
  const after = tail === undefined ? '' : groups(tail)
  return before + '0'.repeat(128 - before.length - after.length) + after
}

function groups(text: string): string {
  if (text === '') return ''
  return text
    .split(':')
    .map((part) => (part.includes('.') ? addressBits(part)! : binary(Number.parseInt(part, 16), 16)))
    .join('')
}

function binary(value: number, width: number): string {
  return value.toString(2).padStart(width, '0')
}
