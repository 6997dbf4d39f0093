// Numbers, times and names as people read them.
import type { Item, Value } from './api'

const whole = new Intl.NumberFormat('en')
export const count = (n: number) => whole.format(n)
export const share = (x: number, digits = 1) => (Number.isFinite(x) ? (100 * x).toFixed(digits) + ' %' : '–')
export function ms(value: number): string {
  return value < 1 ? value.toFixed(2) + ' ms' : value < 100 ? value.toFixed(1) + ' ms' : Math.round(value) + ' ms'
}
export function score(value: number): string {
  return value === 0 ? '0' : Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)
}
export function ago(time: number, now = Date.now()): string {
  const seconds = Math.max(0, (now - time) / 1000)
  if (seconds < 45) return 'just now'
  for (const [unit, size] of [['year', 31557600], ['month', 2629800], ['day', 86400], ['hour', 3600], ['minute', 60]] as const)
    if (seconds >= size) {
      const n = Math.round(seconds / size)
      return `${n} ${unit}${n === 1 ? '' : 's'} ago`
    }
  return 'a minute ago'
}
export const date = (time: number) => new Date(time).toISOString().slice(0, 16).replace('T', ' ')
export const bytes = (n: number) =>
  n < 1024 ? `${n} B` : n < 1 << 20 ? `${(n / 1024).toFixed(1)} KiB` : n < 2 ** 30 ? `${(n / 2 ** 20).toFixed(1)} MiB` : `${(n / 2 ** 30).toFixed(2)} GiB`
export const plural = (n: number, one: string, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`

/** A title in two parts: "nginx: small web server" → name and what it is. */
export function titleOf(item: { id: string; title: string | null }): { name: string; about: string } {
  const title = item.title ?? ''
  if (!title) return { name: item.id, about: '' }
  const cut = title.indexOf(': ')
  return cut > 0 && cut < 60 && title.slice(0, cut) === item.id ? { name: item.id, about: title.slice(cut + 2) } : { name: title, about: '' }
}

const CATEGORIES = ['genres', 'category', 'categories', 'section', 'genre', 'tags', 'brand', 'kind', 'type']
/** What kind of thing an item is: the first attributes that look like a category. */
export function kinds(item: Item | undefined, most = 3): string[] {
  if (!item) return []
  const out: string[] = []
  for (const name of CATEGORIES) {
    const value = item.attributes?.[name]
    if (typeof value === 'string') out.push(value)
    else if (Array.isArray(value)) out.push(...value)
    if (out.length > 0) break
  }
  return out.slice(0, most)
}
export function picture(item: Item | undefined): string | null {
  for (const name of ['image', 'image_url', 'poster', 'thumbnail', 'picture']) {
    const value = item?.attributes?.[name]
    if (typeof value === 'string' && /^https:\/\//.test(value)) return value
  }
  return null
}
export const valueText = (value: Value) => (Array.isArray(value) ? value.join(', ') : String(value))

/** A colour that stays with a name (of a generator, a category) on every page. */
const KNOWN = ['als', 'covisit', 'content', 'ridge', 'popular', 'trending', 'newest', 'random', 'vmis', 'user-knn', 'vectors', 'catalogue']
export function colourOf(name: string): string {
  let at = KNOWN.indexOf(name)
  if (at < 0) at = [...name].reduce((sum, c) => sum + c.charCodeAt(0), 0)
  return `var(--c${at % 8})`
}
