// Prometheus' text, as the server writes it.
import { text } from './api'

export interface Sample {
  labels: Record<string, string>
  value: number
}
export type Metrics = Map<string, Sample[]>

export async function metrics(): Promise<Metrics> {
  const out: Metrics = new Map()
  for (const line of (await text('/metrics')).split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (!match) continue
    const labels: Record<string, string> = {}
    for (const [, name, value] of (match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value.replace(/\\(.)/g, '$1')
    const list = out.get(match[1]) ?? []
    list.push({ labels, value: Number(match[3]) })
    out.set(match[1], list)
  }
  return out
}

export const sum = (m: Metrics, name: string, keep: (labels: Record<string, string>) => boolean = () => true) =>
  (m.get(name) ?? []).filter((s) => keep(s.labels)).reduce((all, s) => all + s.value, 0)

/** Counts by upper bound of a latency histogram, cumulative. */
export function buckets(m: Metrics, name: string, keep: (labels: Record<string, string>) => boolean): Map<number, number> {
  const out = new Map<number, number>()
  for (const s of m.get(name + '_bucket') ?? []) {
    if (!keep(s.labels)) continue
    const le = s.labels.le === '+Inf' ? Infinity : Number(s.labels.le)
    out.set(le, (out.get(le) ?? 0) + s.value)
  }
  return out
}

/** The quantile of what came between two readings, linear within its bucket; null: nothing came. */
export function quantile(now: Map<number, number>, before: Map<number, number>, q: number): number | null {
  const bounds = [...now.keys()].sort((a, b) => a - b)
  const counts = bounds.map((b) => now.get(b)! - (before.get(b) ?? 0))
  const total = counts.at(-1) ?? 0
  if (total <= 0) return null
  const wanted = q * total
  for (let i = 0, below = 0, from = 0; i < bounds.length; below = counts[i], from = bounds[i], i++) {
    if (counts[i] < wanted) continue
    if (bounds[i] === Infinity) return from
    return from + ((bounds[i] - from) * (wanted - below)) / Math.max(1, counts[i] - below)
  }
  return null
}
