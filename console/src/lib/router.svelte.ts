// The place is in the address after '#': /page?name=value. Every state worth coming back to is a parameter.

export interface Place {
  page: string
  parameters: Record<string, string>
}

function read(): Place {
  const [path, search] = location.hash.replace(/^#\/?/, '').split('?', 2)
  return { page: path || '', parameters: Object.fromEntries(new URLSearchParams(search ?? '')) }
}

export const place = $state<Place>(read())

addEventListener('hashchange', () => {
  const now = read()
  place.page = now.page
  place.parameters = now.parameters
})

export function href(page: string, parameters: Record<string, string | number | null | undefined> = {}): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters))
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value))
  const text = search.toString()
  return `#/${page}${text ? '?' + text : ''}`
}

export function go(page: string, parameters: Record<string, string | number | null | undefined> = {}) {
  location.hash = href(page, parameters)
}

/** Changes parameters of this page without a step in the browser's history. */
export function keep(parameters: Record<string, string | number | null | undefined>) {
  const next: Record<string, string> = { ...place.parameters }
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || value === '') delete next[name]
    else next[name] = String(value)
  }
  history.replaceState(null, '', href(place.page, next))
  place.parameters = next
}
