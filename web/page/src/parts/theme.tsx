import { theme, type Theme } from '../store'

const themes: [Theme, string, string][] = [
  ['system', '◐', 'as the system'],
  ['light', '○', 'light'],
  ['dark', '●', 'dark'],
]

// ThemeButton changes between the schemes: the system's, light and dark.
export function ThemeButton() {
  const at = themes.findIndex(([name]) => name === theme.value)
  const [, mark, word] = themes[at]!
  return (
    <button class="icon" aria-label={`Colours: ${word}`} title={`Colours: ${word}`} onClick={() => (theme.value = themes[(at + 1) % themes.length]![0])}>
      {mark}
    </button>
  )
}
