import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '../../src/base/bytes.ts'
import { MirrorError } from '../../src/base/errors.ts'
import { MAX_ANSWER_BYTES } from '../../src/net/wire/ask.ts'
import { introduce, withHosts } from './mesh.ts'

test('a member is answered, with a reason where there is no answer; nobody else is, and none too often', async () => {
  await withHosts(async (start) => {
    const asked: { peer: string; question: string }[] = []
    const one = await start('one', {
      answerer: {
        async answer(peer, bytes) {
          const question = Buffer.from(bytes).toString()
          asked.push({ peer, question })
          if (question === 'long') return new Uint8Array(MAX_ANSWER_BYTES + 1)
          if (question === 'most') return new Uint8Array(MAX_ANSWER_BYTES)
          if (question === 'wrong') throw new Error('a secret of this node')
          if (question === 'odd') throw new MirrorError('not-found', 'there is no such thing')
          return utf8(`${question}?`)
        },
      },
    })
    const other = await start('other')
    introduce(one, other)
    await other.host.dial(one.host.peerId, [one.address])
    const ask = (question: string): Promise<Uint8Array> => other.host.ask(one.host.peerId, utf8(question))
    assert.equal(Buffer.from(await ask('how')).toString(), 'how?')
    assert.deepEqual(asked, [{ peer: other.host.peerId, question: 'how' }])
    assert.equal((await ask('most')).length, MAX_ANSWER_BYTES)
    await assert.rejects(ask('long'), { code: 'refused', message: /too long/ })
    await assert.rejects(ask('odd'), { code: 'refused', message: /there is no such thing/ })
    await assert.rejects(ask('wrong'), (error: MirrorError) => {
      return error.code === 'refused' && !error.message.includes('secret')
    })
    await assert.rejects(one.host.ask(other.host.peerId, utf8('back')), { code: 'refused' })
    await assert.rejects(ask('x'.repeat(5000)))
    const reasons: string[] = []
    for (let left = 30; left > 0; left--) await ask('again').catch((error) => reasons.push(String(error)))
    assert.ok(
      reasons.length > 0 && reasons.every((reason) => /too many questions/.test(reason)),
      String(reasons),
    )
    // A member that was thrown out is not answered on a stream that it opens then.
    const before = asked.length
    one.members.delete(other.host.peerId)
    await assert.rejects(ask('still'))
    assert.equal(asked.length, before)
  })
})
