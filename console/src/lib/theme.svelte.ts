// Light or dark as the system says, until the switch says otherwise (remembered in this browser).
const dark = matchMedia('(prefers-color-scheme: dark)')
let chosen = $state<string | null>(localStorage.getItem('winnow-theme'))
let system = $state(dark.matches)
dark.addEventListener('change', () => (system = dark.matches))

export const theme = {
  get now(): 'light' | 'dark' {
    return chosen === 'dark' || chosen === 'light' ? chosen : system ? 'dark' : 'light'
  },
  flip() {
    chosen = this.now === 'dark' ? 'light' : 'dark'
    localStorage.setItem('winnow-theme', chosen)
  },
}
