import assert from 'node:assert/strict'
import { test } from 'node:test'
import { siteOfAddress } from '../../src/topology/site-of-address.ts'
import type { Topology } from '../../src/topology/topology.ts'

const topology: Topology = {
  regions: [],
  sites: [
    { site: 'campus', subnets: ['10.0.0.0/8', '2001:db8::/32'] },
    { site: 'lab', subnets: ['10.2.0.0/16', '10.3.4.5/32', '2001:db8:7::/48'] },
    { site: 'second', subnets: ['10.2.0.0/16'] },
    { site: 'silent' },
  ],
  paths: [],
}

test('an address belongs to the longest subnet that holds it, whatever its family', () => {
  for (const [address, site] of [
    ['10.1.2.3', 'campus'],
    ['10.2.255.255', 'lab'],
    ['10.3.4.5', 'lab'],
    ['10.3.4.6', 'campus'],
    ['::ffff:10.2.0.1', 'lab'],
    ['::FFFF:10.2.0.1', 'lab'],
    ['2001:db8:7::1', 'lab'],
    ['2001:db8:8::1', 'campus'],
    ['2001:DB8:7::1', 'lab'],
    ['11.0.0.1', undefined],
    ['2001:db9::1', undefined],
    ['fe80::1%eth0', undefined],
    ['', undefined],
    ['nonsense', undefined],
  ] as const) {
    assert.equal(siteOfAddress(topology, address), site, address)
  }
})

test('a subnet of everything takes what no other holds, of its own family', () => {
  const rest: Topology = {
    ...topology,
    sites: [...topology.sites, { site: 'world', subnets: ['0.0.0.0/0'] }],
  }
  assert.equal(siteOfAddress(rest, '11.0.0.1'), 'world')
  assert.equal(siteOfAddress(rest, '10.1.2.3'), 'campus')
  assert.equal(siteOfAddress(rest, '2001:db9::1'), undefined)
})
