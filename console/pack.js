// Packs what Vite built for the binary: every file gzipped, one after another, in OUT/console.pack, and a C
// table of their names, types and places in OUT/console_table.h.   node pack.js DIST OUT
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

const [dist, out] = process.argv.slice(2)
const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}
const rows = []
const parts = []
let at = 0
for (const name of readdirSync(dist).sort()) {
  const type = types[extname(name)]
  if (type === undefined) throw new Error(`pack.js knows no media type for ${name}`)
  const plain = readFileSync(join(dist, name))
  const packed = gzipSync(plain, { level: 9 })
  packed[9] = 255 // the system that packed: not told, so that every machine makes the same bytes
  const tag = createHash('sha256').update(plain).digest('hex').slice(0, 16)
  rows.push(`  {"${name}", "${type}", "\\"${tag}\\"", ${at}, ${packed.length}, ${plain.length}},`)
  parts.push(packed)
  at += packed.length
}
writeFileSync(join(out, 'console.pack'), Buffer.concat(parts))
writeFileSync(
  join(out, 'console_table.h'),
  `/* Made by console/pack.js. */\nstatic const wn_console_asset assets[] = {\n${rows.join('\n')}\n  {NULL, NULL, NULL, 0, 0, 0},\n};\n`,
)
