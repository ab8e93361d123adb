/** Run as a process of its own by stop.test.ts: it must end by itself once its hosts have stopped. */
import { noise, PAGE, TREE, withPair } from './mesh.ts'

await withPair(async (a, b) => {
  b.blocks.pages.set(0, noise(1000))
  await a.host.openBlocks(b.host.peerId).request({ tree: TREE, page: PAGE, offsets: [0] }, () => undefined)
  await a.host.reconcile(b.host.peerId)
  // Left open on purpose: a watch, a request that is never answered, a half-open dial.
  b.blocks.beforeBlock = (_offset, signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  const hanging = a.host
    .openBlocks(b.host.peerId)
    .request({ tree: TREE, page: PAGE, offsets: [0] }, () => undefined)
  hanging.catch(() => process.stdout.write('request ended\n'))
  const watch = a.host.watch(b.host.peerId, { tree: TREE, snapshot: PAGE }, new AbortController().signal)
  const iterator = watch[Symbol.asyncIterator]()
  await iterator.next()
  iterator.next().catch(() => process.stdout.write('watch ended\n'))
})
process.stdout.write('stopped\n')
