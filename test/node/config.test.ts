import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { environmentName, explainConfig, loadConfig } from '../../node/config.ts'
import { writeConfigFile } from '../../node/write-config.ts'
import { isMirrorError } from '../../src/base/errors.ts'
import { tempDir } from './temp-dir.ts'

test('a setting is taken from the flag, then the environment, then the file, then the default', async (t) => {
  const file = join(await tempDir(t), 'config.yaml')
  await writeFile(file, 'listen: 127.0.0.1:1\nhttp: 127.0.0.1:2\nlogLevel: debug\n')
  const env = { MIRRORMESH_HTTP: '127.0.0.1:3', MIRRORMESH_LOG_LEVEL: 'warn' }
  const config = await loadConfig({ file, env, flags: { logLevel: 'error' } })
  assert.deepEqual(config.listen, ['127.0.0.1:1'])
  assert.equal(config.http, '127.0.0.1:3')
  assert.equal(config.logLevel, 'error')
  assert.deepEqual(config.security, ['tls', 'noise'])
  const settings = await explainConfig({ file, env, flags: { logLevel: 'error' } })
  const from = Object.fromEntries(settings.map((each) => [each.key, each.from]))
  assert.deepEqual(from, {
    listen: 'file',
    announce: 'default',
    reachable: 'default',
    joinRequests: 'default',
    http: 'environment',
    httpCertificate: 'default',
    httpKey: 'default',
    httpAccessLog: 'default',
    httpMaxConnections: 'default',
    httpClientConnections: 'default',
    httpMaxRequests: 'default',
    httpBytesPerSecond: 'default',
    httpClientBytesPerSecond: 'default',
    pullQuotaBytes: 'default',
    apiListen: 'default',
    apiCertificate: 'default',
    apiKey: 'default',
    apiHosts: 'default',
    httpUrl: 'default',
    httpKeepMovedHours: 'default',
    security: 'default',
    storeCompression: 'default',
    deltas: 'default',
    deltaBases: 'default',
    deltaPercent: 'default',
    wireCompression: 'default',
    logLevel: 'flag',
    logFormat: 'default',
    workers: 'default',
    devices: 'default',
    keepSnapshots: 'default',
    maxShrinkPercent: 'default',
    heldBackDays: 'default',
    keepUnpinnedDays: 'default',
    collectEveryMinutes: 'default',
    scrubBytesPerSecond: 'default',
    scrubEveryDays: 'default',
    wanUpBytesPerSecond: 'default',
    wanDownBytesPerSecond: 'default',
    regionUpBytesPerSecond: 'default',
    regionDownBytesPerSecond: 'default',
    giveWayMs: 'default',
    giveWayMinBytesPerSecond: 'default',
    limitSchedule: 'default',
    checkoutsAreStorage: 'default',
    keepOldSeconds: 'default',
    checkoutsAheadSeconds: 'default',
    hooks: 'default',
    hookBehindMinutes: 'default',
    freezeAlarmHours: 'default',
    copiesAlarmMinutes: 'default',
  })
  for (const each of settings) assert.notEqual(each.meaning, '', `${each.key} says what it means`)
})

test('without a config file the defaults hold', async (t) => {
  const config = await loadConfig({ file: join(await tempDir(t), 'none.yaml'), env: {}, flags: {} })
  assert.deepEqual(config.listen, ['0.0.0.0:4001'])
  assert.equal(config.http, '127.0.0.1:8080')
  assert.equal(config.keepSnapshots, 3)
})

test('a fault in the config file is told with its line and what is allowed', async (t) => {
  const file = join(await tempDir(t), 'config.yaml')
  const faults: readonly [string, RegExp, RegExp?][] = [
    ['# first\nlissten: 127.0.0.1:1\n', /config\.yaml:2: unknown key "lissten"/, /Did you mean "listen"\?/],
    ['zzz: 1\n', /config\.yaml:1: unknown key "zzz"/, /Known keys are listen, /],
    ['http: "off"\nlogLevel: loud\n', /config\.yaml:2: logLevel: .*"debug"/],
    ['listen: nonsense\n', /config\.yaml:1: listen: is HOST:PORT/],
    ['listen: "1.2.3.4:70000"\n', /config\.yaml:1: listen: is HOST:PORT/],
    ['http: nonsense\n', /config\.yaml:1: http: is HOST:PORT or off/],
    ['http: [\n', /config\.yaml:\d: /],
    ['- listen\n', /config\.yaml: not a list of settings/],
    ['http: off\nhttp: off\n', /config\.yaml:2: .*unique/],
  ]
  for (const [text, message, hint] of faults) {
    await writeFile(file, text)
    await assert.rejects(loadConfig({ file, env: {}, flags: {} }), (error) => {
      assert.ok(isMirrorError(error, 'invalid'), `${text}: ${error}`)
      assert.match(error.message, message)
      if (hint !== undefined) assert.match(error.hint ?? '', hint)
      return true
    })
  }
})

test('a fault of the environment or a flag names the variable or the flag', async (t) => {
  const file = join(await tempDir(t), 'none.yaml')
  await assert.rejects(
    loadConfig({ file, env: { MIRRORMESH_WORKERS: 'many' }, flags: {} }),
    /MIRRORMESH_WORKERS: workers: /,
  )
  await assert.rejects(
    loadConfig({ file, env: {}, flags: { listen: 'x' } }),
    /^MirrorError: --listen is HOST:PORT/,
  )
  assert.equal(environmentName('logFormat'), 'MIRRORMESH_LOG_FORMAT')
  await assert.rejects(
    loadConfig({ file, env: { MIRRORMESH_DEVICES: 'yes' }, flags: {} }),
    /MIRRORMESH_DEVICES: devices: /,
  )
  assert.equal((await loadConfig({ file, env: { MIRRORMESH_DEVICES: 'true' }, flags: {} })).devices, true)
})

test('a config file that is there is never changed', async (t) => {
  const file = join(await tempDir(t), 'etc/config.yaml')
  await writeConfigFile(file, { listen: '127.0.0.1:5', http: 'off' })
  const config = await loadConfig({ file, env: {}, flags: {} })
  assert.deepEqual([config.listen, config.http], [['127.0.0.1:5'], 'off'])
  await writeConfigFile(file, { listen: '127.0.0.1:5', http: 'off' })
  await writeConfigFile(file, {})
  await assert.rejects(writeConfigFile(file, { listen: '127.0.0.1:6' }), (error) =>
    isMirrorError(error, 'conflict'),
  )
  assert.deepEqual((await loadConfig({ file, env: {}, flags: {} })).listen, ['127.0.0.1:5'])
})
