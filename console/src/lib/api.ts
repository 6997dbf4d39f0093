// The public API, and nothing else: what the console does, a script can do.

export class Problem extends Error {
  status: number
  title: string
  field?: string
  line?: number
  column?: number
  constructor(document: { status: number; title: string; detail?: string; field?: string; line?: number; column?: number }) {
    super(document.detail ?? document.title)
    this.status = document.status
    this.title = document.title
    this.field = document.field
    this.line = document.line
    this.column = document.column
  }
}

const KEY = 'winnow-key'
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? '',
  set: (value: string) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
}

/** Set by the app: asks for a key and resolves when there is one. */
let askForKey: (why: string) => Promise<void> = () => Promise.reject(new Error('no key'))
export function onUnauthorised(ask: typeof askForKey) {
  askForKey = ask
}

type Query = Record<string, string | number | boolean | string[] | null | undefined>

export function query(parameters: Query): string {
  const out = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    if (Array.isArray(value)) value.forEach((one) => out.append(name, one))
    else if (value !== null && value !== undefined && value !== '') out.set(name, String(value))
  }
  const text = out.toString()
  return text ? '?' + text : ''
}

export const id = encodeURIComponent

async function problemOf(answer: Response): Promise<Problem> {
  try {
    return new Problem(await answer.json())
  } catch {
    return new Problem({ status: answer.status, title: answer.statusText || 'the server answered ' + answer.status })
  }
}

async function send(method: string, path: string, body?: unknown): Promise<Response> {
  const headers: Record<string, string> = {}
  if (body !== undefined) headers['Content-Type'] = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
  if (key.get()) headers['Authorization'] = 'Bearer ' + key.get()
  let answer: Response
  try {
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
  } catch {
    throw new Problem({ status: 0, title: 'no answer', detail: 'The server does not answer. Is it running?' })
  }
  if (answer.status === 401) {
    const problem = await problemOf(answer)
    key.set('')
    await askForKey(problem.message)
    return send(method, path, body)
  }
  if (!answer.ok) throw await problemOf(answer)
  return answer
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const answer = await send(method, path, body)
  return (answer.status === 204 ? undefined : await answer.json()) as T
}

export const get = <T>(path: string) => call<T>('GET', path)
export const post = <T>(path: string, body?: unknown) => call<T>('POST', path, body)
export const put = <T>(path: string, body: unknown) => call<T>('PUT', path, body)
export const patch = <T>(path: string, body: unknown) => call<T>('PATCH', path, body)
export const remove = (path: string) => call<void>('DELETE', path)
export const text = async (path: string) => (await send('GET', path)).text()

export type Value = string | number | boolean | string[]
export interface Item {
  id: string
  title: string | null
  text?: string | null
  status: 'active' | 'hidden'
  created?: string
  attributes: Record<string, Value>
}
export interface User {
  id: string
  attributes: Record<string, Value>
  items: number
}
export interface SlateItem {
  id: string
  title: string | null
  score: number
  position: number
  propensity: number
  sources: string[]
  pinned?: boolean
}
export interface Slate {
  slate: string
  surface: string
  user: string | null
  user_known: boolean
  personal: boolean
  scored_by?: 'objectives' | 'ranker' | 'blend' | 'generators'
  model: number | null
  items: SlateItem[]
  took_ms: number
  explain?: Explain
}
export interface Proposal {
  generator: string
  rank: number
  score: number
  normalised: number
  weight: number
  points: number
}
/** A sum of trees, taken apart: where it starts, the features that moved it most, all others. */
export interface Parts {
  margin?: number
  features?: { name: string; value?: number; adds: number }[]
  base?: number
  others_add?: number
}
/** What the rankers said, where the snapshot has one. */
export interface Ranked extends Parts {
  points?: number // of the generators; the score, where there is no ranker
  light?: number
  value?: number
  objectives?: ({ name: string; weight: number; p?: number; adds?: number } & Parts)[]
}
export interface Candidate extends Ranked {
  item: string
  title: string | null
  rank: number
  score: number
  boost: number
  proposals: Proposal[]
}
export interface Explain {
  retrieve: {
    generators: {
      model: string
      fallback: boolean
      quota: number
      weight: number
      proposed: number
      new: number
      ms: number
      note?: string
    }[]
    candidates: number
    duplicates: number
    ms: number
  }
  filter: { allowed: number; counts: Record<string, number>; drops: { item: string; title: string | null; reason: string }[]; ms: number }
  score: { normalise: string; by?: 'generators' | 'ranker' | 'objectives'; candidates: Candidate[]; ms: number }
  order: {
    diversity: { method: string; by: string; lambda: number } | null
    caps: { attribute: string; max: number }[]
    pins: { item: string; position: number }[]
    moves: { item: string; title: string | null; from: number | null; to: number; why: string }[]
    drops: { item: string; title: string | null; reason: string }[]
    notes: string[]
    ms: number
  }
  why?: Why[]
}
/** How far an item came, and what stopped it. */
export interface Why extends Ranked {
  item: string
  title: string | null
  stage: 'unknown' | 'retrieve' | 'filter' | 'order' | 'shown'
  reason: string
  position: number | null
  rank?: number
  score?: number
  boost?: number
  proposals?: Proposal[]
  beyond?: { generator: string; quota: number; rank: number | null; score?: number }[]
  last_score: number
}
export interface Surface {
  name: string
  flavour: 'flat' | 'personal' | 'feed'
  n: number
}
export interface Met {
  item: string
  title: string | null
  status: string
  time_ms: number
  weight: number
  types: string[]
}

export const explain = (surface: string, request: { user?: string; item?: string; n?: number; filter?: string; why?: string[] }) =>
  post<Slate>(`/v1/surfaces/${id(surface)}/explain`, request)
export const surfaces = () => get<{ surfaces: Surface[] }>('/v1/surfaces').then((a) => a.surfaces)
export const findItems = (q: string, n = 12, more: Query = {}) =>
  get<{ items: Item[]; next: number | null }>('/v1/items' + query({ q, n, ...more }))
export const namedItems = async (ids: string[]): Promise<Map<string, Item>> => {
  const out = new Map<string, Item>()
  for (let i = 0; i < ids.length; i += 50) {
    const part = await get<{ items: Item[] }>('/v1/items' + query({ id: ids.slice(i, i + 50) }))
    part.items.forEach((item) => out.set(item.id, item))
  }
  return out
}
export const findUsers = (q: string, n = 12, more: Query = {}) =>
  get<{ users: User[]; next: number | null }>('/v1/users' + query({ q, n, ...more }))
export const history = (user: string, n = 20, cursor = 0) =>
  get<{ total: number; history: Met[]; next: number | null }>(`/v1/users/${id(user)}/history` + query({ n, cursor }))
