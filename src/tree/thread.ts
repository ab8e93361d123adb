/**
 * Worker threads that do file work with synchronous calls, and ask the main thread what only it knows.
 *
 * The worker's side is synchronous throughout: it posts a question, may go on with other work, and then sleeps on an
 * atomic until the answer is there. The main side answers when it can, in any order. A thread runs one function from
 * start to end; an error in it, or in an answer to it, ends it and is what `done` rejects with.
 */
import type { MessagePort, Transferable } from 'node:worker_threads'
import { MessageChannel, parentPort, receiveMessageOnPort, Worker, workerData } from 'node:worker_threads'
import type { ErrorCode, ErrorFacts } from '../base/errors.ts'
import { asMirrorError, MirrorError } from '../base/errors.ts'
import { threadEnvironment } from '../base/thread-environment.ts'
import { boundAllocator } from '../posix/allocator.ts'

/** Threads make much garbage and keep little: a small young generation costs no time and saves tens of megabytes each. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 8 }

/** Main thread's answers to a thread's questions; a returned promise may take its time. */
export type Answerer<Question, Answer> = (question: Question) => Answer | Promise<Answer>

export interface Thread<Result> {
  /** What the thread's function returned. */
  readonly done: Promise<Result>
  /** Ends the thread wherever it is; files it opened are closed. */
  stop(): Promise<void>
}

interface PlainError {
  readonly code: ErrorCode
  readonly message: string
  readonly facts: ErrorFacts
  readonly hint: string | undefined
  readonly stack: string | undefined
}

type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: PlainError }

/**
 * @param module URL without extension: sources run as .ts, a build as .js
 * @param what it does, and where: said of a system's error that names no place
 */
export function startThread<Input, Question, Answer, Result>(
  module: URL,
  input: Input,
  answer: Answerer<Question, Answer>,
  what: string,
): Thread<Result> {
  boundAllocator()
  const { port1, port2 } = new MessageChannel()
  const bell = new Int32Array(new SharedArrayBuffer(4))
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  const worker = new Worker(new URL(module.href + extension), {
    workerData: { input, port: port2, bell, what },
    transferList: [port2],
    resourceLimits: RESOURCE_LIMITS,
    env: threadEnvironment(),
  })
  let isOver = false

  port1.on('message', (message: { id: number; question: Question }) => {
    void (async () => {
      let reply: Reply
      try {
        reply = { id: message.id, value: await answer(message.question) }
      } catch (error) {
        reply = { id: message.id, error: plainError(error, what) }
      }
      if (isOver) return
      port1.postMessage(reply)
      Atomics.add(bell, 0, 1)
      Atomics.notify(bell, 0)
    })()
  })

  const done = new Promise<Result>((resolve, reject) => {
    worker.once('message', (message: { result: Result } | { error: PlainError }) => {
      if ('error' in message) reject(mirrorError(message.error))
      else resolve(message.result)
    })
    worker.once('error', (error) => reject(asMirrorError(error, what)))
    worker.once('exit', (status) => {
      isOver = true
      port1.close()
      reject(new MirrorError('internal', `a worker thread ended with ${status} and no result`))
    })
  })
  // Whoever awaits `done` sees its error; while others are awaited first it must not count as unhandled.
  done.catch(() => undefined)
  return {
    done,
    async stop() {
      isOver = true
      await worker.terminate()
    },
  }
}

export interface Asking<Question, Answer> {
  /** Asks and sleeps until the answer is there. */
  ask(question: Question, transfer?: readonly Transferable[]): Answer
  /** Asks; the returned function sleeps until the answer is there, if it is not yet. */
  post(question: Question, transfer?: readonly Transferable[]): () => Answer
}

/** Runs `task` as this worker thread's whole life. */
export function runThread<Input, Question, Answer, Result>(
  task: (input: Input, main: Asking<Question, Answer>) => Result,
): void {
  const { input, port, bell, what } = workerData as {
    input: Input
    port: MessagePort
    bell: Int32Array
    what: string
  }
  const early = new Map<number, Reply>()
  let lastId = 0

  function post(question: Question, transfer: readonly Transferable[] = []): () => Answer {
    const id = ++lastId
    port.postMessage({ id, question }, transfer as Transferable[])
    return () => {
      for (;;) {
        const heard = Atomics.load(bell, 0)
        let reply = early.get(id)
        if (reply === undefined) {
          const received = receiveMessageOnPort(port) as { message: Reply } | undefined
          if (received === undefined) {
            Atomics.wait(bell, 0, heard)
            continue
          }
          reply = received.message
          if (reply.id !== id) {
            early.set(reply.id, reply)
            continue
          }
        } else early.delete(id)
        if ('error' in reply) throw mirrorError(reply.error)
        return reply.value as Answer
      }
    }
  }

  let message: { result: Result } | { error: PlainError }
  try {
    message = { result: task(input, { post, ask: (question, transfer) => post(question, transfer)() }) }
  } catch (error) {
    message = { error: plainError(error, what) }
  }
  parentPort?.postMessage(message)
  port.close()
}

/** Classes do not survive postMessage. */
function plainError(error: unknown, what: string): PlainError {
  const { code, facts, hint: given, message, stack } = asMirrorError(error, what)
  const hint = given ?? (code === 'no-space' ? 'Free some space there, then try again.' : undefined)
  return { code, facts, hint, message, stack: error instanceof Error ? error.stack : stack }
}

function mirrorError({ code, message, facts, hint, stack }: PlainError): MirrorError {
  const error = new MirrorError(code, message, { facts, ...(hint === undefined ? {} : { hint }) })
  if (stack !== undefined) error.stack = stack
  return error
}
