import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dialableAddresses } from '../../src/net/address.ts'

test('a node that can be reached from outside does not advertise its loopback addresses', () => {
  const all = [
    '/ip4/127.0.0.1/tcp/4001',
    '/ip4/10.77.2.1/tcp/4001',
    '/ip6/::1/tcp/4001',
    '/ip4/10.77.2.1/tcp/4001',
  ]
  assert.deepEqual(dialableAddresses(all), ['/ip4/10.77.2.1/tcp/4001'])
})

test('a node on loopback alone advertises that', () => {
  assert.deepEqual(dialableAddresses(['/ip4/127.0.0.1/tcp/4001']), ['/ip4/127.0.0.1/tcp/4001'])
})
