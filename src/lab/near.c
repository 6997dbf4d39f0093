/* MinHash (Broder 1997) with banding (Leskovec, Rajaraman and Ullman, ch. 3). A record's set: the
 * 5-grams of its title and text, lower-cased, runs of other characters than letters and digits made
 * one blank, and its attributes as `name=value`. 128 permutations, each a multiplication of the
 * element's XXH3; the share of equal minima estimates Jaccard with a deviation of at most .044.
 * Bands of 4 minima: a pair of similarity s is looked at with probability 1 − (1 − s⁴)³²: .9999 at
 * .7, .31 at .33.
 *
 * Costs: 128 multiplications an element; a sort of (band, hash) keys. Memory: 512 bytes an item.
 * A bucket of more than 200 items is compared with its first 200 alone, so that a boilerplate text
 * costs no square. Deterministic; one thread. */
#include "lab/near.h"

#include "base/map64.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"

#include <stdlib.h>
#include <string.h>

enum { HASHES = 128, BAND = 4, BANDS = HASHES / BAND, GRAM = 5, BUCKET_MAX = 200 };

typedef struct signatures {
  uint32_t items;
  uint32_t *minimum; /* [items × HASHES] */
  uint8_t *known;    /* [items] */
  uint64_t odd[HASHES];
  wn_buf text;
} signatures;

static void add_element(signatures *s, uint32_t item, uint64_t hash) {
  uint32_t *m = s->minimum + (size_t)item * HASHES;
  for (size_t h = 0; h < HASHES; h++) {
    uint32_t value = (uint32_t)((hash * s->odd[h]) >> 32);
    m[h] = value < m[h] ? value : m[h];
  }
}

/* Appends letters and digits in lower case, all else as one blank. Bytes over 127 stay. */
static void normalise(wn_str in, wn_buf *out) {
  for (size_t i = 0; i < in.len; i++) {
    unsigned char c = (unsigned char)in.ptr[i];
    bool upper = c >= 'A' && c <= 'Z',
         keep = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c > 127;
    if (upper || keep)
      wn_buf_char(out, (char)(upper ? c + 32 : c));
    else if (out->len > 0 && out->data[out->len - 1] != ' ')
      wn_buf_char(out, ' ');
  }
}

static void add_attribute(signatures *s, uint32_t item, const wn_attr *a) {
  const size_t count = a->kind == WN_ATTR_LIST ? a->list_len : 1;
  for (size_t i = 0; i < count; i++) {
    s->text.len = 0;
    wn_buf_printf(&s->text, "%.*s=", (int)a->name.len, a->name.ptr);
    if (a->kind == WN_ATTR_NUMBER)
      wn_buf_printf(&s->text, "%.15g", a->number);
    else if (a->kind == WN_ATTR_BOOL)
      wn_buf_char(&s->text, a->boolean ? '1' : '0');
    else
      normalise(a->kind == WN_ATTR_LIST ? a->list[i] : a->string, &s->text);
    add_element(s, item, wn_hash64(s->text.data, s->text.len, 2));
  }
}

static wn_status each_item(void *ctx, wn_item_ix ix, const wn_item_record *item,
                           wn_error *err WN_UNUSED) {
  signatures *s = ctx;
  if (ix >= s->items || (item->title.len == 0 && item->text.len == 0 && item->attrs.len == 0))
    return WN_OK;
  s->known[ix] = 1;
  for (size_t a = 0; a < item->attrs.len; a++) add_attribute(s, ix, &item->attrs.data[a]);
  s->text.len = 0;
  normalise(item->title, &s->text);
  wn_buf_char(&s->text, ' ');
  normalise(item->text, &s->text);
  for (size_t i = 0; i + GRAM <= s->text.len; i++)
    add_element(s, ix, wn_hash64(s->text.data + i, GRAM, 1));
  if (s->text.len < GRAM) add_element(s, ix, wn_hash64(s->text.data, s->text.len, 1));
  return WN_OK;
}

typedef struct key {
  uint64_t hash;
  uint32_t item;
} key;

static int by_hash(const void *a, const void *b) {
  const key *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->item > y->item) - (x->item < y->item);
}

static double alike(const signatures *s, uint32_t a, uint32_t b) {
  const uint32_t *x = s->minimum + (size_t)a * HASHES, *y = s->minimum + (size_t)b * HASHES;
  size_t same = 0;
  for (size_t h = 0; h < HASHES; h++) same += x[h] == y[h];
  return (double)same / HASHES;
}

typedef WN_VEC(wn_near_pair) pair_list;

/* Pairs that agree in this band and in none before it. */
static bool band_pairs(const signatures *s, size_t band, key *keys, double threshold,
                       pair_list *out) {
  size_t n = 0;
  for (uint32_t i = 0; i < s->items; i++)
    if (s->known[i])
      keys[n++] = (key){
          wn_hash64(s->minimum + (size_t)i * HASHES + band * BAND, BAND * sizeof(uint32_t), band),
          i};
  qsort(keys, n, sizeof *keys, by_hash);
  for (size_t i = 0, end; i < n; i = end) {
    for (end = i; end < n && keys[end].hash == keys[i].hash;) end++;
    for (size_t b = i + 1; b < end; b++)
      for (size_t a = i; a < b && a < i + BUCKET_MAX; a++) {
        const uint32_t *x = s->minimum + (size_t)keys[a].item * HASHES,
                       *y = s->minimum + (size_t)keys[b].item * HASHES;
        bool before = false;
        for (size_t e = 0; e < band && !before; e++)
          before = memcmp(x + e * BAND, y + e * BAND, BAND * sizeof *x) == 0;
        double likeness = before ? 0 : alike(s, keys[a].item, keys[b].item);
        if (likeness >= threshold &&
            !wn_vec_push(out, ((wn_near_pair){keys[a].item, keys[b].item, likeness})))
          return false;
      }
  }
  return true;
}

static int most_alike_first(const void *a, const void *b) {
  const wn_near_pair *x = a, *y = b;
  if (x->alike != y->alike) return x->alike > y->alike ? -1 : 1;
  if (x->a != y->a) return x->a < y->a ? -1 : 1;
  return (x->b > y->b) - (x->b < y->b);
}

static uint32_t root_of(uint32_t *group, uint32_t i) {
  while (group[i] != i) i = group[i] = group[group[i]];
  return i;
}

/* `mark`: [items], nothing above 1 in it. */
static void unite(wn_near *near, uint32_t items, uint8_t *mark) {
  for (uint32_t i = 0; i < items; i++) near->group[i] = i;
  for (size_t p = 0; p < near->len; p++) {
    uint32_t a = root_of(near->group, near->pairs[p].a), b = root_of(near->group, near->pairs[p].b);
    if (a != b) near->group[a > b ? a : b] = a < b ? a : b;
  }
  for (uint32_t i = 0; i < items; i++) {
    uint32_t root = near->group[i] = root_of(near->group, i);
    if (root == i) continue;
    near->groups += mark[root] != 2;
    near->grouped++;
    mark[root] = 2;
  }
  near->grouped += near->groups;
}

static wn_status open(signatures *s, uint32_t items, wn_error *err) {
  wn_rng rng;
  wn_rng_seed(&rng, 1);
  s->items = items;
  for (size_t h = 0; h < HASHES; h++) s->odd[h] = wn_rng_next(&rng) | 1;
  s->minimum = wn_reallocarray(NULL, (size_t)items * HASHES + 1, sizeof *s->minimum);
  s->known = wn_calloc((size_t)items + 1, 1);
  if (s->minimum == NULL || s->known == NULL) return wn_fail_memory(err);
  memset(s->minimum, 0xFF, (size_t)items * HASHES * sizeof *s->minimum);
  return WN_OK;
}

wn_status wn_near_items(wn_item_source source, uint32_t items, double threshold, wn_near *out,
                        wn_error *err) {
  signatures s = {0};
  pair_list pairs = {0};
  key *keys = NULL;
  wn_status status;
  memset(out, 0, sizeof *out);
  if (!(threshold > 0 && threshold <= 1))
    return wn_fail(err, WN_E_ARGUMENT, "near", "must lie in (0, 1], got %g", threshold);
  WN_TRY(open(&s, items, err));
  WN_TRY(source.scan(source.ctx, each_item, &s, err));
  keys = wn_reallocarray(NULL, (size_t)items + 1, sizeof *keys);
  out->group = wn_reallocarray(NULL, (size_t)items + 1, sizeof *out->group);
  if (keys == NULL || out->group == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t band = 0; band < BANDS; band++)
    if (!band_pairs(&s, band, keys, threshold, &pairs)) WN_TRY(wn_fail_memory(err));
  if (pairs.len > 0) qsort(pairs.data, pairs.len, sizeof *pairs.data, most_alike_first);
  for (uint32_t i = 0; i < items; i++) out->items_read += s.known[i];
  out->pairs = pairs.data;
  out->len = pairs.len;
  pairs.data = NULL;
  unite(out, items, s.known);
cleanup:
  wn_free(pairs.data);
  wn_free(keys);
  wn_free(s.minimum);
  wn_free(s.known);
  wn_buf_clear(&s.text);
  if (status != WN_OK) wn_near_clear(out);
  return status;
}

void wn_near_clear(wn_near *near) {
  wn_free(near->pairs);
  wn_free(near->group);
  memset(near, 0, sizeof *near);
}
