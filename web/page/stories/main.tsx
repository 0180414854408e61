import { render } from 'preact'

import { App } from '../src/app'
import { actions, listen } from '../src/keys'
import { now, seen, server, theme, type Theme, workflows } from '../src/store'
import { at, states } from './states'

// The page in a scripted state, without a server: ?state=busy&theme=dark. It is made for the tests and not served.
const query = new URLSearchParams(location.search)
theme.value = (query.get('theme') as Theme) ?? 'light'
document.documentElement.dataset.theme = theme.value
now.value = at
server.value = { chat: true, reason: '', starting: false, building: undefined, temporalUI: 'http://127.0.0.1:8233/namespaces/default/workflows/' }
states[query.get('state') ?? 'up-to-date']!()
seen.value = Object.fromEntries(workflows.value.map((w) => [w.id, w.id === 'order-1041/refund' ? 0 : w.head]))
actions.open = () => {}
listen()
render(<App />, document.getElementById('app')!)
document.documentElement.dataset.states = Object.keys(states).join()
