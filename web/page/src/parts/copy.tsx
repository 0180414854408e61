import { useState } from 'preact/hooks'

import { announcement } from '../store'

// Copy shows code, or a part of it, with a button that copies all of it.
export function Copy({ code, shown = code }: { code: string; shown?: string }) {
  const [copied, setCopied] = useState('')
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(code)
      setCopied('Copied')
    } catch {
      setCopied('Select it and copy')
    }
    announcement.value = 'Copied'
    setTimeout(() => setCopied(''), 1500)
  }
  return (
    <div class="copy">
      <pre class="code" tabIndex={0} aria-label="Code to copy" dir="ltr">{shown}</pre>
      <button onClick={copy}>{copied || 'Copy'}</button>
    </div>
  )
}
