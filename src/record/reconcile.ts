/** (types first; the implementation follows) */
export type Id = Uint8Array

export interface ReconcileStep {
  /** To send to the other side; undefined when there is nothing left to say. */
  readonly reply: Uint8Array | undefined
  /** Ids that the other side has and we lack, learnt from this message. */
  readonly need: readonly Id[]
  /** Ids that we have and the other side lacks, learnt from this message. */
  readonly give: readonly Id[]
  /** The initiator is done when it has nothing to ask; the responder when it has answered a final message. */
  readonly isDone: boolean
}

export interface Reconciler {
  /** The initiator's first message. */
  start(): Uint8Array
  /** @throws MirrorError `corrupt` or `limit` for a message that an honest peer does not send */
  receive(message: Uint8Array): ReconcileStep
}

export declare function createReconciler(
  items: readonly Id[] /* rising */,
  options: { readonly isInitiator: boolean; readonly maxMessageBytes?: number },
): Reconciler
