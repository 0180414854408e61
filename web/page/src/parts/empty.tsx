import { linkTo } from '../address'
import { actions } from '../keys'
import { psql, sending } from '../model/snippets'
import { listState, server } from '../store'
import { Copy } from './copy'

// What is shown where there is nothing to show yet: what to type.

export function NoWorkflow() {
  const state = listState.value
  if (state.kind === 'refused') {
    return (
      <div class="middle">
        <h1>You may not read here</h1>
        <p>{state.reason}</p>
        <p class="quiet">Ask whoever runs this server for access to the workflow.</p>
      </div>
    )
  }
  if (state.kind === 'loading') return <p class="middle quiet">Reading…</p>
  if (server.value.starting) return <Building />
  return (
    <div class="middle">
      <h1>No workflow yet</h1>
      <p>Send a message to one. It appears here while the answer is written.</p>
      <Copy code={sending('wf_1', location.origin)} />
      {server.value.chat && (
        <p>
          Or <a href={linkTo('wf_1')} onClick={(e) => (e.preventDefault(), actions.open('wf_1'))}>write it here</a>.
        </p>
      )}
      <p>
        Or insert a row{!server.value.database && ', with the address of the database in DATABASE_URL'}. It is here before the prompt returns.
      </p>
      <Copy code={psql('wf_1', server.value.database)} />
    </div>
  )
}

export function FirstItems({ id }: { id: string }) {
  return (
    <div class="middle">
      <h1>Nothing in this workflow yet</h1>
      <p>You are connected: its first item appears here within milliseconds of its commit.</p>
      {server.value.chat && <p class="quiet">Write a message below, or insert a row:</p>}
      <Copy code={psql(id, server.value.database)} />
    </div>
  )
}

export function Building() {
  const { building, database, reason } = server.value
  return (
    <div class="middle">
      <h1>{building === undefined ? 'Temporal is not ready yet' : 'Temporal is being built'}</h1>
      <p>{reason}.</p>
      <progress max={100} value={building} aria-label="Progress of the build" />
      <p>The feed works already: what is written to PostgreSQL appears here.</p>
      <Copy code={psql('wf_1', database)} />
      <p class="quiet">Messages can be sent when it is ready.</p>
    </div>
  )
}

export function Erased() {
  return (
    <div class="middle">
      <h1>This history was erased</h1>
      <p>Its rows were deleted from the database, so they are gone here too. What is written from now on appears as usual.</p>
    </div>
  )
}
