/* Changed items: an inverted index of their own beside the snapshot's, as linked lists by term.
 * A changed item gets a new document, and its old one dies; when dead nodes are the majority, the
 * lists are built anew. Cost of a put: its entries, amortised. */
#include "model/content.h"

#include <string.h>

#define DEAD_NODES_MIN 4096

void wn_content_delta_clear(wn_content_delta *delta) {
  wn_vec_clear(&delta->nodes);
  wn_vec_clear(&delta->docs);
  wn_map64_clear(&delta->doc_of);
  wn_map64_clear(&delta->first);
  wn_bitset_clear(&delta->replaced);
}

/* Links node i before the others of its term. Room in `first` was made by find_lists. */
static void link_node(wn_content_delta *delta, uint32_t i) {
  uint64_t *first = wn_map64_find(&delta->first, delta->nodes.data[i].value.term);
  delta->nodes.data[i].next = *first == 0 ? WN_NO_IX : (uint32_t)(*first - 1);
  *first = (uint64_t)i + 1;
}

/* Drops dead documents; cannot fail, for nothing grows. */
static void compact(wn_content_delta *delta) {
  size_t at = 0;
  uint64_t key, value;
  wn_content_node *nodes = delta->nodes.data;
  for (size_t i = 0; wn_map64_next(&delta->first, &i, &key, &value);) {
    *wn_map64_find(&delta->first, key) = 0;
  }
  size_t docs = 0;
  for (size_t k = 0; k < delta->docs.len; k++) {
    wn_content_doc doc = delta->docs.data[k];
    if (!doc.live) continue;
    memmove(nodes + at, nodes + doc.begin, doc.len * sizeof *nodes);
    doc.begin = (uint32_t)at;
    for (uint32_t n = 0; n < doc.len; n++) {
      nodes[at].doc = (uint32_t)docs;
      link_node(delta, (uint32_t)at++);
    }
    *wn_map64_find(&delta->doc_of, doc.ix) = docs + 1;
    delta->docs.data[docs++] = doc;
  }
  delta->docs.len = docs;
  delta->nodes.len = at;
}

/* Everything that can fail, before anything changes. */
static bool make_room(wn_content_delta *delta, uint32_t items, wn_item_ix ix,
                      const wn_term_weight *vector, size_t len) {
  if (ix < items && delta->replaced.words == NULL && !wn_bitset_init(&delta->replaced, items)) {
    return false;
  }
  for (size_t i = 0; i < len; i++) {
    if (wn_map64_at(&delta->first, vector[i].term) == NULL) return false;
  }
  return wn_vec_reserve(&delta->nodes, delta->nodes.len + len) &&
         wn_vec_reserve(&delta->docs, delta->docs.len + 1) &&
         wn_map64_at(&delta->doc_of, ix) != NULL;
}

wn_status wn_content_delta_put(wn_content_delta *delta, uint32_t items, wn_item_ix ix,
                               const wn_term_weight *vector, size_t len, wn_error *err) {
  if (!make_room(delta, items, ix, vector, len)) return wn_fail_memory(err);
  uint64_t *doc_of = wn_map64_find(&delta->doc_of, ix);
  if (*doc_of != 0) {
    wn_content_doc *old = &delta->docs.data[*doc_of - 1];
    old->live = false;
    delta->live -= old->len;
  }
  wn_bitset_set(&delta->replaced, ix); /* past its end: nothing to override */
  *doc_of = 0;
  if (ix >= delta->items) delta->items = ix + 1;
  if (len > 0) {
    uint32_t doc = (uint32_t)delta->docs.len, begin = (uint32_t)delta->nodes.len;
    delta->docs.data[delta->docs.len++] = (wn_content_doc){ix, begin, (uint32_t)len, true};
    for (size_t i = 0; i < len; i++) {
      delta->nodes.data[begin + i] = (wn_content_node){vector[i], doc, WN_NO_IX};
      link_node(delta, begin + (uint32_t)i);
    }
    delta->nodes.len += len;
    delta->live += len;
    *doc_of = (uint64_t)doc + 1;
  }
  if (delta->nodes.len - delta->live > delta->live + DEAD_NODES_MIN) compact(delta);
  return WN_OK;
}

bool wn_content_delta_get(const wn_content_delta *delta, wn_item_ix ix,
                          wn_term_weight out[WN_CONTENT_TERMS_MAX], size_t *len) {
  const uint64_t *doc_of = wn_map64_find(&delta->doc_of, ix);
  *len = 0;
  if (doc_of == NULL) return false;
  if (*doc_of == 0) return true;
  const wn_content_doc *doc = &delta->docs.data[*doc_of - 1];
  for (uint32_t i = 0; i < doc->len; i++) out[i] = delta->nodes.data[doc->begin + i].value;
  *len = doc->len;
  return true;
}
