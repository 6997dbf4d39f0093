// Changes of one key in the text of a configuration; comments and everything else stay as they are.
import { isCollection, isMap, isScalar, parseDocument, YAMLMap, YAMLSeq, type Document } from 'yaml'

export type Path = (string | number)[]
const HOW = { lineWidth: 0, flowCollectionPadding: false }

/** Null: not valid YAML, or no mapping. */
export function parse(text: string): Document | null {
  const doc = parseDocument(text)
  return doc.errors.length === 0 && (doc.contents === null || isMap(doc.contents) || (isScalar(doc.contents) && doc.contents.value === null)) ? doc : null
}
export function at<T>(doc: Document, path: Path): T | undefined {
  const node = doc.getIn(path)
  return (isCollection(node) ? node.toJS(doc) : node) as T | undefined
}
/** Lists get a line an entry, each `{a: 1, b: 2}`. */
function node(doc: Document, value: unknown) {
  const made = doc.createNode(value)
  if (made instanceof YAMLSeq) made.items.forEach((one) => one instanceof YAMLMap && (one.flow = true))
  return made
}
/** The text with `value` at `path`; undefined: without it, and without mappings that this empties. */
export function edited(text: string, path: Path, value: unknown): string {
  const doc = parseDocument(text)
  if (value === undefined) {
    doc.deleteIn(path)
    for (let upper = path.slice(0, -1); upper.length > 0; upper = upper.slice(0, -1)) {
      const left = doc.getIn(upper)
      if (isMap(left) && left.items.length === 0) doc.deleteIn(upper)
      else break
    }
    return doc.toString(HOW)
  }
  // `home:` with nothing behind it is no mapping yet, nor is an empty text.
  if (!isCollection(doc.contents)) doc.contents = doc.createNode({}) as unknown as typeof doc.contents
  for (let i = 1; i < path.length; i++) {
    const upper = path.slice(0, i)
    if (!isCollection(doc.getIn(upper))) doc.setIn(upper, doc.createNode({}))
    const made = doc.getIn(upper)
    if (isMap(made) && made.items.length === 0) made.flow = false
  }
  doc.setIn(path, node(doc, value))
  return doc.toString(HOW)
}
