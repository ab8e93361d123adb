/** `--as-node`: whose signature is meant where an admin and an operator may both say a thing. */
import type { Command } from 'commander'

export interface AsNode {
  readonly asNode?: boolean
}

export function withAsNode(command: Command): Command {
  return command.option(
    '--as-node',
    "sign as this node, by a grant for an operator; that is what happens anyway where there is no admin's key",
  )
}
