/* Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009):
 *     weight = idf · n(k₁ + 1) / (n + k₁(1 − b + b·length/mean length)),
 *     idf = ln(1 + (N − df + ½)/(df + ½)).
 * Departures: used as a document vector under cosine; attribute terms are not normalised by
 * length (an item does not belong less to a category for having a long description); n-grams of
 * the title's words, where misspelt and inflected words still meet, have a block of their own, so
 * that a vector's cosine is (1 − share)·cosine of words and attributes + share·cosine of n-grams.
 */
#include "model/content_vector.h"
#include "model/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the terms of one text go through. */
typedef struct reading {
  wn_term_fn *each;
  void *ctx;
  uint32_t ngram;
} reading;

/* "<word>" in pieces of `n` characters, or as a whole when it is no longer. */
static bool ngrams(const reading *r, wn_str word, float count) {
  char text[WN_TOKEN_BYTES_MAX + 4];
  uint8_t at[WN_TOKEN_BYTES_MAX + 4]; /* where characters begin */
  size_t len = 0, chars = 0, n = r->ngram;
  text[len++] = WN_NGRAM_MARK;
  at[chars++] = (uint8_t)len;
  text[len++] = '<';
  for (size_t pos = 0; pos < word.len;) {
    size_t begin = pos;
    (void)wn_utf8_next(word, &pos);
    at[chars++] = (uint8_t)len;
    memcpy(text + len, word.ptr + begin, pos - begin);
    len += pos - begin;
  }
  at[chars++] = (uint8_t)len;
  text[len++] = '>';
  at[chars] = (uint8_t)len;
  for (size_t c = 0; c == 0 || c + n <= chars; c++) {
    size_t end = at[c + n < chars ? c + n : chars], begin = at[c] - 1u;
    char before = text[begin]; /* makes room for the mark, and comes back */
    text[begin] = WN_NGRAM_MARK;
    bool going = r->each(r->ctx, (wn_str){text + begin, end - begin}, count, WN_TERM_NGRAM);
    text[begin] = before;
    if (!going) return false;
  }
  return true;
}

static bool words(const reading *r, wn_str text, float count) {
  wn_tokens tokens;
  wn_str word;
  wn_tokens_init(&tokens, text);
  while (wn_tokens_next(&tokens, &word)) {
    if (!r->each(r->ctx, word, count, WN_TERM_WORD)) return false;
    if (r->ngram > 0 && !ngrams(r, word, count)) return false;
  }
  return true;
}

static bool value(const reading *r, wn_str name, wn_str text) {
  char buf[WN_CONTENT_TERM_BYTES];
  wn_str term = wn_attr_term(name, text, buf, sizeof buf);
  if (term.ptr == NULL) return words(r, text, 1);
  return r->each(r->ctx, term, 1, WN_TERM_ATTRIBUTE);
}

bool wn_content_terms(const wn_item_record *item, const wn_term_rules *rules, wn_term_fn *each,
                      void *ctx) {
  const reading title = {each, ctx, rules->ngram}, rest = {each, ctx, 0};
  if (!words(&title, item->title, rules->title_weight) || !words(&rest, item->text, 1))
    return false;
  for (size_t i = 0; i < item->attrs.len; i++) {
    const wn_attr *attr = &item->attrs.data[i];
    if (attr->kind == WN_ATTR_STRING && !value(&rest, attr->name, attr->string)) return false;
    if (attr->kind == WN_ATTR_BOOL && attr->boolean && !value(&rest, attr->name, WN_STR("true")))
      return false;
    for (size_t k = 0; attr->kind == WN_ATTR_LIST && k < attr->list_len; k++) {
      if (!value(&rest, attr->name, attr->list[k])) return false;
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

/* One block, of merged hits: its strongest, their square adding up to `share`. */
static size_t block(wn_term_hit *hits, size_t len, size_t most, double share, wn_term_weight *out) {
  if (len > most) {
    qsort(hits, len, sizeof *hits, by_value);
    len = most;
    qsort(hits, len, sizeof *hits, by_term);
  }
  double norm = 0;
  for (size_t i = 0; i < len; i++) norm += (double)hits[i].value * (double)hits[i].value;
  if (!(norm > 0) || !isfinite(norm) || !(share > 0)) return 0;
  double scale = sqrt(share / norm);
  for (size_t i = 0; i < len; i++) {
    out[i] = (wn_term_weight){hits[i].term, (float)((double)hits[i].value * scale)};
  }
  return len;
}

/* Of merged hits, n-grams first. */
static size_t strongest(const wn_term_blocks *blocks, wn_term_hit *hits, size_t len,
                        wn_term_weight out[WN_CONTENT_TERMS_MAX]) {
  size_t first = 0;
  while (first < len && hits[first].term < blocks->ngrams) first++;
  size_t n = block(hits, first, WN_CONTENT_NGRAMS_MAX, blocks->share, out);
  return n + block(hits + first, len - first, WN_CONTENT_WORDS_MAX, 1 - blocks->share, out + n);
}

size_t wn_content_strongest(const wn_term_blocks *blocks, wn_term_hit *hits, size_t len,
                            wn_term_weight out[WN_CONTENT_TERMS_MAX]) {
  return strongest(blocks, hits, merge(hits, len), out);
}

size_t wn_content_vector(const wn_bm25 *bm25, wn_term_hit *hits, size_t len, double length,
                         wn_term_weight out[WN_CONTENT_TERMS_MAX]) {
  double mean = bm25->length_mean > 0 ? bm25->length_mean : 1;
  double stretched = bm25->k1 * (1 - bm25->b + bm25->b * length / mean);
  len = merge(hits, len);
  for (size_t i = 0; i < len; i++) {
    bool attribute = hits[i].kind == WN_TERM_ATTRIBUTE;
    double count = (double)hits[i].value, soft = attribute ? bm25->k1 : stretched;
    double weight = (double)bm25->idf[hits[i].term] * count * (bm25->k1 + 1) / (count + soft);
    hits[i].value = (float)weight;
  }
  return strongest(&bm25->blocks, hits, len, out);
}
