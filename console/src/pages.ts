// The menu. A page is here only when there is something behind it.
import type { Component } from 'svelte'

export interface Page {
  path: string
  name: string
  letter: string // g and this goes there
  about: string
  load: () => Promise<{ default: Component }>
}

export const pages: Page[] = [
  { path: 'try', name: 'Try it', letter: 't', about: 'a slate as a person sees it', load: () => import('./pages/Try.svelte') },
  { path: 'funnel', name: 'Funnel', letter: 'f', about: 'how a slate came about, and why an item is not in it', load: () => import('./pages/Funnel.svelte') },
]
