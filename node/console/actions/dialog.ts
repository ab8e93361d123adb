/**
 * A change, before it is made: what it does, the command line that does the same, with what it is signed. It is made
 * when the user says so; what goes wrong stays in the dialog, in the node's words.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import { Problem } from '../api.ts'
import { type Children, html } from '../html.ts'
import { Command } from '../parts/command.ts'
import { useValue } from '../state.ts'
import { sentence, shown } from '../text.ts'
import { signer } from './keys.ts'
import { SignerField, type Suffices } from './signer-field.ts'

export interface DialogProps {
  readonly title: string
  /** What the change does, and what it cannot undo. */
  readonly children?: Children
  /** Does the same in a terminal. */
  readonly command?: string | undefined
  readonly confirm: string
  readonly isHarmful?: boolean
  readonly isReady?: boolean
  /** For text that has long lines. */
  readonly isWide?: boolean
  /** A record has to be signed for it: by an admin, or by who is said here. */
  readonly signs?: Suffices
  /** Resolves to what is told when it is done; nothing: the dialog just closes. */
  readonly run: () => Promise<Children>
  readonly onClose: () => void
}

export function Dialog(props: DialogProps) {
  const {
    title,
    children,
    command,
    confirm,
    isHarmful = false,
    isReady = true,
    isWide = false,
    signs,
    run,
    onClose,
  } = props
  const element = useRef<HTMLDialogElement>(null)
  const [state, setState] = useState<{ busy?: true; done?: Children; error?: Error }>({})
  const hasSigner = useValue(signer) !== undefined

  useEffect(() => {
    element.current?.showModal()
  }, [])
  const act = async (event: Event): Promise<void> => {
    event.preventDefault()
    setState({ busy: true })
    try {
      const done = await run()
      if (done === undefined || done === null) element.current?.close()
      else setState({ done })
    } catch (error) {
      setState({ error: error as Error })
    }
  }
  const { busy = false, done, error } = state
  return html`<dialog ref=${element} class=${isWide ? 'dialog wide' : 'dialog'} aria-labelledby="dialog-title" onClose=${onClose}>
    <form onSubmit=${act}>
      <h2 id="dialog-title">${shown(title)}</h2>
      ${
        done !== undefined
          ? html`<div class="done" role="status">${done}</div>`
          : html`<div class="what">${children}</div>
            ${command !== undefined && html`<div class="same"><span class="quiet">The same in a terminal</span><${Command} text=${command} /></div>`}
            ${signs !== undefined && html`<${SignerField} ...${signs} />`}
            ${error !== undefined && html`<${Refusal} error=${error} />`}`
      }
      <footer>
        <button type="button" onClick=${() => element.current?.close()}>${done === undefined ? 'Cancel' : 'Close'}</button>
        ${
          done === undefined &&
          html`<button class=${isHarmful ? 'danger' : 'primary'} disabled=${busy || !isReady || (signs !== undefined && !hasSigner)}
            >${busy ? 'Working …' : confirm}</button>`
        }
      </footer>
    </form>
  </dialog>`
}

function Refusal({ error }: { error: Error }) {
  const hint = error instanceof Problem ? error.hint : undefined
  return html`<div class="notice bad" role="alert"><b>${sentence(shown(error.message))}</b>${hint !== undefined && html` ${shown(hint)}`}</div>`
}

/** A button that opens a dialog. */
export function Action({
  label,
  tone = '',
  dialog,
}: {
  label: string
  tone?: string
  dialog: (onClose: () => void) => Children
}) {
  const [isOpen, setOpen] = useState(false)
  return html`<button type="button" class=${tone} onClick=${() => setOpen(true)}>${label}</button>
    ${isOpen && dialog(() => setOpen(false))}`
}
