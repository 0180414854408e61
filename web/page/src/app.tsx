import { denied } from './auth'
import { Conversation } from './parts/conversation'
import { Help, Viewer } from './parts/dialogs'
import { NoWorkflow } from './parts/empty'
import { Bar, Header } from './parts/header'
import { Sidebar } from './parts/sidebar'
import { NotSignedIn } from './parts/signin'
import { Wire } from './parts/wire'
import { announcement, pane, session, wire } from './store'

export function App() {
  const current = session.value
  return (
    <div class={`app ${wire.value ? '' : 'without-wire'}`}>
      <Sidebar />
      <main>
        <Header session={current} />
        <Bar session={current} />
        {denied.value && !current?.timeline.count ? <NotSignedIn /> : current ? <Conversation key={current.id} session={current} /> : <NoWorkflow />}
      </main>
      <Wire session={current} />
      {pane.value !== 'conversation' && <div class="shade" onClick={() => (pane.value = 'conversation')} />}
      <Viewer />
      <Help />
      <p class="hidden" role="status" aria-live="polite">{announcement.value}</p>
    </div>
  )
}
