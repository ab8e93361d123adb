import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressGroup } from '../../src/base/address-group.ts'

test('addresses of one network are one group, however they are written', () => {
  const group = (address: string): string => addressGroup(address, { bytesOfV4: 3, groupsOfV6: 3 })
  assert.equal(group('10.1.2.3'), '10.1.2')
  assert.equal(group('::ffff:10.1.2.9'), '10.1.2')
  assert.equal(group('2001:db8:1:2::9'), '2001:db8:1')
  assert.equal(group('2001:0DB8:0001:ffff:0:0:0:1'), '2001:db8:1')
  assert.equal(group('2001:db8::1'), '2001:db8:0')
  assert.equal(group('::1'), '0:0:0')
  assert.equal(group('::'), '0:0:0')
  assert.equal(group('a relay'), 'a relay')
  assert.equal(addressGroup('10.1.2.3', { bytesOfV4: 4, groupsOfV6: 4 }), '10.1.2.3')
})
