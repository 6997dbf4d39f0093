/* The k best of an inverted index without its longest lists.
 *
 * Source: Turtle and Flood, "Query evaluation: strategies and optimizations" (1995), "max score": a
 * list whose largest weight cannot lift an item over the k-th best is not read for finding items,
 * only for scoring those that shorter lists found. Departures: term at a time with sums by item,
 * not document at a time, for 96 short lists; what is left out is chosen by what a list can add for
 * each item that it names; and the items found are scored from their own vectors (content.h holds
 * both), so that the long lists are not touched at all.
 *
 *   1. Lists are added, 24 postings for each item wanted. The items of the best sums are scored:
 *      that many reach the worst of these scores, the bar.
 *   2. Where the other lists can lift an item over the bar all the same, so many are added that the
 *      rest can not, and step 1 is done once more.
 *   3. The other items whose sum and the rest's most reach the bar are scored, too.
 *
 * The rest's most is a sum of largest products, of n-grams at most that of the lengths of both
 * vectors (Cauchy and Schwarz). Scores are the very numbers that adding all lists gives: the same
 * products, added in the same order; sums in another order are only used as bounds, with room for
 * their rounding. Weights are never negative (content_validate). Where leaving lists out saves less
 * than scoring the items found, all are added. Deterministic; one thread; memory: wn_accum's and 8
 * bytes an item found. */
#include "model/content.h"

#include "base/mem.h"
#include "base/simd/simd.h"
#include "base/sort.h"
#include "model/query.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ADDED      24         /* postings of step 1 for each item wanted */
#define SCORED     16         /* items that step 3 scores for each one wanted, more or less */
#define ROOM       (1 + 1e-4) /* for rounding: 96 sums and products err by less than 2e-5 */
#define SLOTS      512u       /* of terms asked for; at most 96 are taken */
#define AHEAD      8          /* items whose vectors are asked for before they are needed */
#define LINE       16         /* of 64 bytes: terms, or weights */
#define FOUND_STEP ((size_t)1024)

typedef struct list {
  wn_term_weight asked;
  uint64_t begin, len; /* postings */
  double most;         /* that it adds to an item */
} list;

typedef struct search {
  const wn_content *m;
  const wn_query *query;
  const wn_content_asked *asked;
  list lists[WN_CONTENT_TERMS_MAX];         /* in the order in which they are added */
  double rest[WN_CONTENT_TERMS_MAX + 1];    /* what lists i … can add together */
  uint64_t posts[WN_CONTENT_TERMS_MAX + 1]; /* of lists 0 … i − 1 */
  size_t len;
  uint8_t slot[SLOTS]; /* a term asked for, its number + 1; 0: free */
} search;

static size_t slot_of(uint32_t term) {
  return (term * 0x9e3779b1u) >> 23 & (SLOTS - 1);
}

/* What a list adds for each item that it names: the most useful first. */
static int by_use(const void *a, const void *b) {
  const list *x = a, *y = b;
  double left = x->most * (double)y->len, right = y->most * (double)x->len;
  if (left != right) return left > right ? -1 : 1;
  return x->asked.term < y->asked.term ? -1 : x->asked.term > y->asked.term;
}

static void search_init(search *s, const wn_content *m, const wn_query *query,
                        const wn_content_asked *asked) {
  s->m = m;
  s->query = query;
  s->asked = asked;
  s->len = 0;
  memset(s->slot, 0, sizeof s->slot);
  for (size_t i = 0; i < asked->len; i++) {
    wn_term_weight a = asked->term[i];
    uint64_t begin = m->term_ptr[a.term], len = m->term_ptr[a.term + 1] - begin;
    if (len > 0)
      s->lists[s->len++] = (list){a, begin, len, (double)a.weight * (double)m->most[a.term]};
    size_t at = slot_of(a.term);
    while (s->slot[at] != 0) at = (at + 1) & (SLOTS - 1);
    s->slot[at] = (uint8_t)(i + 1);
  }
  qsort(s->lists, s->len, sizeof *s->lists, by_use);
  s->posts[0] = 0;
  for (size_t i = 0; i < s->len; i++) s->posts[i + 1] = s->posts[i] + s->lists[i].len;
  double words = 0, ngrams = 0, square = 0;
  s->rest[s->len] = 0;
  for (size_t i = s->len; i-- > 0;) {
    const list *l = &s->lists[i];
    bool ngram = l->asked.term < m->head.ngrams;
    if (ngram) square += (double)l->asked.weight * (double)l->asked.weight;
    *(ngram ? &ngrams : &words) += l->most;
    s->rest[i] = words + fmin(ngrams, sqrt(square) * m->ngrams_most);
  }
}

/* An item's cosine as add_fitted makes it: terms ascend in both. */
static float cosine(const search *s, wn_item_ix ix) {
  const wn_content *m = s->m;
  float sum = 0;
  for (uint64_t i = m->item_ptr[ix]; i < m->item_ptr[ix + 1]; i++) {
    size_t at = slot_of(m->item_term[i]);
    for (; s->slot[at] != 0; at = (at + 1) & (SLOTS - 1)) {
      wn_term_weight a = s->asked->term[s->slot[at] - 1];
      if (a.term != m->item_term[i]) continue;
      sum += a.weight * m->item_weight[i];
      break;
    }
  }
  return sum;
}

/* Sums over the lists 0 … lists − 1. */
typedef struct added {
  wn_accum accum;
  size_t lists;
  uint64_t room; /* postings */
} added;

/* More of them; from the first on again where there is no room. */
static bool add_lists(const search *s, size_t count, added *sums, wn_arena *arena) {
  if (s->posts[count] > sums->room) {
    *sums = (added){.room = s->posts[count]};
    if (!wn_accum_init(&sums->accum, s->m->head.items, (size_t)sums->room, arena)) return false;
  }
  for (; sums->lists < count; sums->lists++) {
    const list *l = &s->lists[sums->lists];
    const uint32_t *item = s->m->post_item + l->begin;
    const float *weight = s->m->post_weight + l->begin;
    for (uint64_t i = 0; i < l->len; i++)
      wn_accum_add(&sums->accum, item[i], l->asked.weight * weight[i]);
  }
  return true;
}

static bool may_answer(const search *s, wn_item_ix ix) {
  const wn_bitset *replaced = &s->m->delta.replaced;
  return ix != s->asked->without && wn_query_allows(s->query, ix) &&
         (replaced->words == NULL || !wn_bitset_test(replaced, ix));
}

typedef WN_VEC(uint64_t) keys; /* sums, falling, above items: sort.h */

/* Items that may answer, of a sum of at least `least`. */
static bool gather(const search *s, const wn_accum *accum, float least, keys *found) {
  uint32_t at[FOUND_STEP];
  if (!(least > 0)) least = FLT_TRUE_MIN;
  for (size_t begin = 0; begin < accum->slots; begin += FOUND_STEP) {
    size_t n = accum->slots - begin < FOUND_STEP ? accum->slots - begin : FOUND_STEP;
    size_t hits = wn_simd()->above(accum->sum + begin, n, least, at);
    if (!wn_vec_reserve(found, found->len + hits)) return false;
    for (size_t h = 0; h < hits; h++) {
      size_t slot = begin + at[h];
      wn_item_ix ix = accum->key != NULL ? accum->key[slot] : (wn_item_ix)slot;
      if (may_answer(s, ix))
        found->data[found->len++] = (uint64_t)wn_sort_falling(accum->sum[slot]) << 32 | ix;
    }
  }
  return true;
}

/* Whether an item of such a sum may reach the bar. */
static bool may_reach(uint64_t key, double rest, float bar) {
  return ((double)wn_sort_score((uint32_t)(key >> 32)) + rest) * ROOM >= (double)bar;
}

/* All lines of an item's vector; its place is known already. */
static void expect(const wn_content *m, wn_item_ix ix) {
  for (uint64_t i = m->item_ptr[ix]; i < m->item_ptr[ix + 1]; i += LINE) {
    __builtin_prefetch(&m->item_term[i]);
    __builtin_prefetch(&m->item_weight[i]);
  }
}

/* Scores items found, but for those that `rest` more would leave below the bar: `bar` at first, the
 * worst of `top` once that is higher. Their order is lost. */
static void score(const search *s, uint64_t *key, size_t len, double rest, float bar,
                  wn_topk *top) {
  const wn_content *m = s->m;
  size_t n = 0;
  for (size_t i = 0; i < len; i++)
    if (may_reach(key[i], rest, bar)) key[n++] = key[i];
  for (size_t i = 0; i < n; i++) {
    if (i + 2 * AHEAD < n) __builtin_prefetch(&m->item_ptr[(uint32_t)key[i + 2 * AHEAD]]);
    if (i + AHEAD < n) expect(m, (wn_item_ix)key[i + AHEAD]);
    if (top->len == top->k && top->heap[0].score > bar) bar = top->heap[0].score;
    if (!may_reach(key[i], rest, bar)) continue;
    float exact = cosine(s, (wn_item_ix)key[i]);
    if (exact > 0) wn_topk_push(top, (wn_item_ix)key[i], exact);
  }
}

/* How many lists hold `posts` postings. */
static size_t lists_of(const search *s, uint64_t posts) {
  size_t n = 0;
  while (n < s->len && s->posts[n] < posts) n++;
  return n;
}

/* Whether adding these lists alone saves more postings than scoring what they find will read. */
static bool pays(const search *s, size_t lists, size_t k) {
  uint64_t items = s->m->head.items > 0 ? s->m->head.items : 1;
  uint64_t vector = s->m->item_ptr[s->m->head.items] / items + 1;
  return s->posts[s->len] - s->posts[lists] > SCORED * k * vector;
}

/* Steps 1 to 3. `lists`: what step 1 begins with. */
static bool find(const search *s, size_t lists, keys *found, wn_topk *top, wn_arena *arena) {
  added sums = {0};
  float bar = 0, least = 0;
  for (;;) {
    if (!add_lists(s, lists, &sums, arena) || !gather(s, &sums.accum, least, found)) return false;
    size_t first = found->len < top->k ? found->len : top->k, need = 0;
    wn_select_u64(found->data, found->len, first);
    score(s, found->data, first, INFINITY, 0, top);
    if (top->len == top->k && top->heap[0].score > bar) bar = top->heap[0].score;
    while (need < s->len && !(s->rest[need] * ROOM < (double)bar)) need++;
    if (need <= lists) {
      score(s, found->data + first, found->len - first, s->rest[lists], bar, top);
      return true;
    }
    top->len = found->len = 0;
    if (!pays(s, need, top->k)) return true;
    lists = need;
    least = nextafterf((float)((double)bar / ROOM - s->rest[lists]), -INFINITY);
  }
}

bool wn_content_search(const wn_content *m, const wn_query *query, const wn_content_asked *asked,
                       wn_topk *top, wn_arena *arena) {
  search s;
  keys found = {0};
  search_init(&s, m, query, asked);
  size_t lists = lists_of(&s, ADDED * (uint64_t)top->k);
  bool ok = !pays(&s, lists, top->k) || find(&s, lists, &found, top, arena);
  wn_vec_clear(&found);
  return ok;
}

static float larger(float a, float b) {
  return a > b ? a : b;
}

wn_status wn_content_search_init(wn_content *m, wn_error *err) {
  m->most = wn_calloc((size_t)m->head.terms + 1, sizeof *m->most);
  if (m->most == NULL) return wn_fail_memory(err);
  for (uint32_t t = 0; t < m->head.terms; t++)
    for (uint64_t i = m->term_ptr[t]; i < m->term_ptr[t + 1]; i++)
      m->most[t] = larger(m->most[t], m->post_weight[i]);
  for (uint32_t ix = 0; ix < m->head.items; ix++) {
    double square = 0;
    for (uint64_t i = m->item_ptr[ix]; i < m->item_ptr[ix + 1]; i++)
      if (m->item_term[i] < m->head.ngrams)
        square += (double)m->item_weight[i] * (double)m->item_weight[i];
    m->ngrams_most = fmax(m->ngrams_most, sqrt(square));
  }
  return WN_OK;
}
