/** The first module of the console: puts the application into the page and starts to follow the mesh. */
import { render } from 'preact'
import { html } from './html.ts'
import { startLive } from './live.ts'
import { Shell } from './shell.ts'

startLive()
render(html`<${Shell} />`, document.getElementById('app')!)
