import { useState } from 'preact/hooks'

import { denied, use } from '../auth'

// SignIn asks for the token that the server wants.
export function SignIn() {
  const [error, setError] = useState('')
  const refused = denied.value === 'refused'
  return (
    <form class="signin" onSubmit={(e) => {
      e.preventDefault()
      setError(use(new FormData(e.currentTarget).get('token') as string))
    }}>
      <label for="token">Token</label>
      <div class="ask">
        <input id="token" name="token" type="password" autocomplete="off" spellcheck={false} required aria-describedby="token-note"
          aria-invalid={refused || Boolean(error)} />
        <button class="filled">Sign in</button>
      </div>
      <p id="token-note" class="quiet">
        {(error || refused) && <span class="error" role="alert">{error || 'The server has refused the token. It may have expired.'} </span>}
        A token is kept until this tab is closed, and sent to this server only.
      </p>
    </form>
  )
}

// NotSignedIn stands where there is nothing to show without a token.
export function NotSignedIn() {
  return (
    <div class="middle">
      <h1>Sign in</h1>
      <p>This server shows its workflows to those who have a token. Whoever runs it can give you one.</p>
      <SignIn />
    </div>
  )
}
