import { render } from 'preact'

import { App } from '../src/app'
import { actions, listen } from '../src/keys'
import { now, seen, server, theme, type Theme, workflows } from '../src/store'
import { counted } from '../src/unread'
import { at, states } from './states'

// The page in a scripted state, without a server: ?state=busy&theme=dark. It is made for the tests and not served.
const query = new URLSearchParams(location.search)
theme.value = (query.get('theme') as Theme) ?? 'light'
document.documentElement.dataset.theme = theme.value
now.value = at
server.value = { chat: true, reason: '', starting: false, building: undefined, temporalUI: 'http://127.0.0.1:8233/namespaces/default/workflows/', database: 'postgres://postgres@127.0.0.1:54329/chatfeed' }
states[query.get('state') ?? 'up-to-date']!()
const news: Record<string, number> = { 'order-1041/refund': 3, 'wf_0': 0, 'job-7': 100 } // messages
seen.value = Object.fromEntries(workflows.value.map((w) => [w.id, w.id in news ? 0 : w.head]))
counted.value = Object.fromEntries(workflows.value.map((w) => [w.id, { head: w.head, after: 0, messages: news[w.id] ?? 0 }]))
actions.open = () => {}
listen()
render(<App />, document.getElementById('app')!)
document.documentElement.dataset.states = Object.keys(states).join()
