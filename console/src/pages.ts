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
  { path: 'overview', name: 'Overview', letter: 'o', about: 'what is served now, and what came of it', load: () => import('./pages/Overview.svelte') },
  { path: 'try', name: 'Try it', letter: 't', about: 'a slate as a person sees it', load: () => import('./pages/Try.svelte') },
  { path: 'funnel', name: 'Funnel', letter: 'f', about: 'how a slate came about, and why an item is not in it', load: () => import('./pages/Funnel.svelte') },
  { path: 'items', name: 'Items', letter: 'i', about: 'search, read, edit and hide items', load: () => import('./pages/Items.svelte') },
  { path: 'users', name: 'Users', letter: 'u', about: 'what users met, and who is like them', load: () => import('./pages/Users.svelte') },
  { path: 'map', name: 'Map', letter: 'm', about: 'all items in two dimensions', load: () => import('./pages/Map.svelte') },
  { path: 'experiments', name: 'Experiments', letter: 'e', about: 'what is tried on whom, and what it shows', load: () => import('./pages/Experiments.svelte') },
  { path: 'lab', name: 'Lab', letter: 'l', about: 'runs, comparisons, behaviour tests, bias', load: () => import('./pages/Lab.svelte') },
  { path: 'rules', name: 'Rules', letter: 'r', about: 'surfaces, filters, boosts, pins: edit, preview, bring back', load: () => import('./pages/Rules.svelte') },
  { path: 'health', name: 'Health', letter: 'h', about: 'readiness, snapshots, trainings, metrics', load: () => import('./pages/Health.svelte') },
]
