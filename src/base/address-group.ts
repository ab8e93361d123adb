/**
 * Addresses that one party has together, as one name: of IPv6 those of a network of so many 16-bit groups, of IPv4 those
 * of so many bytes. What is no address is a group by itself.
 */
export function addressGroup(
  address: string,
  { bytesOfV4, groupsOfV6 }: { readonly bytesOfV4: number; readonly groupsOfV6: number },
): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (/^\d+(\.\d+){3}$/.test(plain)) return plain.split('.').slice(0, bytesOfV4).join('.')
  if (!/^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(plain)) return plain
  const [head = '', tail] = plain.toLowerCase().split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const rest = tail === '' ? 0 : tail.split(':').length
    while (groups.length < 8 - rest) groups.push('0')
    if (rest > 0) groups.push(...tail.split(':'))
  }
  return groups
    .slice(0, groupsOfV6)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')
}
