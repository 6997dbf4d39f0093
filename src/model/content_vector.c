/* Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009):
 *     weight = idf · n(k₁ + 1) / (n + k₁(1 − b + b·length/mean length)),
 *     idf = ln(1 + (N − df + ½)/(df + ½)).
 * Departures: used as a document vector under cosine; attribute terms are not normalised by
 * length (an item does not belong less to a category for having a long description). */
#include "model/content_vector.h"
#include "model/text.h"

#include <math.h>
#include <stdlib.h>

static bool words(wn_str text, float count, wn_term_fn *each, void *ctx) {
  wn_tokens tokens;
  wn_str word;
  wn_tokens_init(&tokens, text);
  while (wn_tokens_next(&tokens, &word)) {
    if (!each(ctx, word, count, false)) return false;
  }
  return true;
}

static bool value(wn_str name, wn_str text, wn_term_fn *each, void *ctx) {
  char buf[WN_CONTENT_TERM_BYTES];
  wn_str term = wn_attr_term(name, text, buf, sizeof buf);
  if (term.ptr == NULL) return words(text, 1, each, ctx);
  return each(ctx, term, 1, true);
}

bool wn_content_terms(const wn_item_record *item, float title_weight, wn_term_fn *each, void *ctx) {
  if (!words(item->title, title_weight, each, ctx) || !words(item->text, 1, each, ctx))
    return false;
  for (size_t i = 0; i < item->attrs.len; i++) {
    const wn_attr *attr = &item->attrs.data[i];
    if (attr->kind == WN_ATTR_STRING && !value(attr->name, attr->string, each, ctx)) return false;
    if (attr->kind == WN_ATTR_BOOL && attr->boolean &&
        !value(attr->name, WN_STR("true"), each, ctx)) {
      return false;
    }
    for (size_t k = 0; attr->kind == WN_ATTR_LIST && k < attr->list_len; k++) {
      if (!value(attr->name, attr->list[k], each, ctx)) return false;
    }
  }
  return true;
}

static int by_term(const void *a, const void *b) {
  const wn_term_hit *x = a, *y = b;
  return x->term < y->term ? -1 : x->term > y->term;
}

static int by_value(const void *a, const void *b) {
  const wn_term_hit *x = a, *y = b;
  if (x->value != y->value) return x->value > y->value ? -1 : 1;
  return by_term(a, b);
}

static size_t merge(wn_term_hit *hits, size_t len) {
  size_t n = 0;
  if (len == 0) return 0; /* qsort does not take NULL */
  qsort(hits, len, sizeof *hits, by_term);
  for (size_t i = 0; i < len; i++) {
    if (n > 0 && hits[n - 1].term == hits[i].term) {
      hits[n - 1].value += hits[i].value;
    } else {
      hits[n++] = hits[i];
    }
  }
  return n;
}

/* Of merged hits. */
static size_t strongest(wn_term_hit *hits, size_t len, wn_term_weight out[WN_CONTENT_TERMS_MAX]) {
  if (len > WN_CONTENT_TERMS_MAX) {
    qsort(hits, len, sizeof *hits, by_value);
    len = WN_CONTENT_TERMS_MAX;
    qsort(hits, len, sizeof *hits, by_term);
  }
  double norm = 0;
  for (size_t i = 0; i < len; i++) norm += (double)hits[i].value * (double)hits[i].value;
  if (!(norm > 0) || !isfinite(norm)) return 0;
  double scale = 1 / sqrt(norm);
  for (size_t i = 0; i < len; i++) {
    out[i] = (wn_term_weight){hits[i].term, (float)((double)hits[i].value * scale)};
  }
  return len;
}

size_t wn_content_strongest(wn_term_hit *hits, size_t len,
                            wn_term_weight out[WN_CONTENT_TERMS_MAX]) {
  return strongest(hits, merge(hits, len), out);
}

size_t wn_content_vector(const wn_bm25 *bm25, wn_term_hit *hits, size_t len, double length,
                         wn_term_weight out[WN_CONTENT_TERMS_MAX]) {
  double mean = bm25->length_mean > 0 ? bm25->length_mean : 1;
  double stretched = bm25->k1 * (1 - bm25->b + bm25->b * length / mean);
  len = merge(hits, len);
  for (size_t i = 0; i < len; i++) {
    double count = (double)hits[i].value, soft = hits[i].attribute ? bm25->k1 : stretched;
    double weight = (double)bm25->idf[hits[i].term] * count * (bm25->k1 + 1) / (count + soft);
    hits[i].value = (float)weight;
  }
  return strongest(hits, len, out);
}
