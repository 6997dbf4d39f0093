/* Rules of objectives: their text, and which events satisfy them.
 *
 * A value that depends on how long an item is (watched shares fall with the length, watched seconds
 * rise with it) says more about the item than about the user. `among: length` compares it with the
 * values of items of about that length alone: items fall into buckets of equally many events by the
 * attribute, and a value counts as its quantile in its bucket (Zhan et al., KDD 2022, duration-
 * deconfounded quantiles; departure: the label is whether the quantile passes the rule's number,
 * and not the quantile itself). Ties count half. */
#include "model/objective.h"

#include "base/mem.h"
#include "base/vec.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS       20
#define BUCKET_EVENTS 50 /* at least; else fewer buckets */

static const char *const position_names[WN_POSITION_METHODS] = {"none", "feature", "pal", "ipw"};
const char *wn_position_method_name(unsigned method) {
  return method < WN_POSITION_METHODS ? position_names[method] : NULL;
}

/* --- text --- */

static const char *const tests[] = {
    [WN_LABEL_ANY] = "",  [WN_LABEL_GE] = ">=", [WN_LABEL_GT] = ">",
    [WN_LABEL_LE] = "<=", [WN_LABEL_LT] = "<",  [WN_LABEL_EQ] = "=="};

static const struct {
  char unit;
  int64_t ms;
} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};

static bool is_operator(char c) {
  return c == '<' || c == '>' || c == '=';
}

/* The next word: a run of operator characters, or of others without blanks. */
static wn_str next_word(wn_str *rest) {
  *rest = wn_str_trim(*rest);
  size_t n = 0;
  bool symbols = rest->len > 0 && is_operator(rest->ptr[0]);
  while (n < rest->len && !isspace((unsigned char)rest->ptr[n]) &&
         is_operator(rest->ptr[n]) == symbols)
    n++;
  wn_str word = {rest->ptr, n};
  rest->ptr += n;
  rest->len -= n;
  return word;
}

static wn_status fail_rule(wn_error *err, const char *expected, wn_str got) {
  return wn_fail(err, WN_E_ARGUMENT, "label",
                 "expected %s, got \"%.*s\"; a rule is like `click`, `watch >= 0.75`, "
                 "`buy or cart within 7d`",
                 expected, (int)(got.len < 60 ? got.len : 60), got.len > 0 ? got.ptr : "");
}

static wn_status parse_term(wn_str *rest, wn_label_term *term, wn_error *err) {
  wn_str type = next_word(rest), peek = *rest;
  if (type.len == 0 || type.len > WN_SIGNAL_NAME_MAX || is_operator(type.ptr[0]) ||
      wn_str_is(type, "or") || wn_str_is(type, "within"))
    return fail_rule(err, "an event type", type);
  memcpy(term->type, type.ptr, type.len);
  wn_str test = next_word(&peek);
  if (test.len == 0 || !is_operator(test.ptr[0])) return WN_OK;
  for (term->test = WN_LABEL_GE; term->test <= WN_LABEL_EQ; term->test++)
    if (wn_str_is(test, tests[term->test])) break;
  if (term->test > WN_LABEL_EQ) return fail_rule(err, ">=, >, <=, < or ==", test);
  wn_str number = next_word(&peek);
  if (!wn_parse_double(number, &term->number)) return fail_rule(err, "a number", number);
  *rest = peek;
  return WN_OK;
}

static wn_status parse_within(wn_str *rest, int64_t *ms, wn_error *err) {
  wn_str time = next_word(rest);
  double number = 0;
  for (size_t u = 0; u < sizeof units / sizeof *units && time.len > 1; u++) {
    if (time.ptr[time.len - 1] != units[u].unit) continue;
    if (!wn_parse_double((wn_str){time.ptr, time.len - 1}, &number)) break;
    *ms = (int64_t)(number * (double)units[u].ms);
    if (number > 0 && number * (double)units[u].ms <= 366.0 * 86400000) return WN_OK;
  }
  return fail_rule(err, "a time of at most 366 days (30m, 12h, 7d)", time);
}

wn_status wn_label_rule_parse(wn_str text, wn_label_rule *out, wn_error *err) {
  wn_str rest = text, word;
  wn_status status;
  memset(out, 0, sizeof *out);
  do {
    if (out->terms == WN_LABEL_TERMS_MAX) return fail_rule(err, "at most four event types", rest);
    status = parse_term(&rest, &out->term[out->terms++], err);
    if (status != WN_OK) return status;
    word = next_word(&rest);
  } while (wn_str_is(word, "or"));
  if (word.len == 0) return WN_OK;
  if (!wn_str_is(word, "within")) return fail_rule(err, "`or`, `within` or the end", word);
  status = parse_within(&rest, &out->within_ms, err);
  if (status != WN_OK) return status;
  word = next_word(&rest);
  return word.len == 0 ? WN_OK : fail_rule(err, "the end", word);
}

const char *wn_label_rule_print(const wn_label_rule *rule, char *buf, size_t size) {
  size_t at = 0;
  buf[0] = '\0';
  for (uint32_t t = 0; t < rule->terms && at < size; t++) {
    const wn_label_term *term = &rule->term[t];
    at += (size_t)snprintf(buf + at, size - at, "%s%s", t > 0 ? " or " : "", term->type);
    if (term->test != WN_LABEL_ANY && at < size)
      at += (size_t)snprintf(buf + at, size - at, " %s %.9g", tests[term->test], term->number);
  }
  for (size_t u = sizeof units / sizeof *units; u-- > 0 && rule->within_ms > 0 && at < size;) {
    if (u > 0 && rule->within_ms % units[u].ms != 0) continue;
    snprintf(buf + at, size - at, " within %.9g%c", (double)rule->within_ms / (double)units[u].ms,
             units[u].unit);
    break;
  }
  return buf;
}

static bool passes(const wn_label_term *term, double value) {
  switch ((wn_label_test)term->test) {
  case WN_LABEL_ANY: return true;
  case WN_LABEL_GE: return value >= term->number;
  case WN_LABEL_GT: return value > term->number;
  case WN_LABEL_LE: return value <= term->number;
  case WN_LABEL_LT: return value < term->number;
  case WN_LABEL_EQ: return value == term->number;
  }
  return false;
}

bool wn_label_rule_holds(const wn_label_rule *rule, const char *type, double value) {
  for (uint32_t t = 0; t < rule->terms; t++)
    if (strcmp(rule->term[t].type, type) == 0 && passes(&rule->term[t], value)) return true;
  return false;
}

/* --- quantiles among like items --- */

/* Of one objective: items by bucket, each bucket's values ascending. */
typedef struct quantiles {
  uint8_t *bucket; /* [items] BUCKETS: the item has no number; NULL: values count as they are */
  uint32_t items;
  float *value;
  size_t begin[BUCKETS + 1];
} quantiles;

struct wn_labels {
  wn_objectives objectives;
  uint32_t type[WN_OBJECTIVES_MAX][WN_LABEL_TERMS_MAX]; /* WN_NO_IX: never occurs */
  quantiles quantiles[WN_OBJECTIVES_MAX];
};

/* A type of the rule that looks at its value. */
static bool measures(const wn_labels *l, size_t k, uint32_t type) {
  for (uint32_t t = 0; t < l->objectives.data[k].rule.terms; t++)
    if (l->type[k][t] == type && l->objectives.data[k].rule.term[t].test != WN_LABEL_ANY)
      return true;
  return false;
}

typedef struct numbers {
  const char *name;
  float *number; /* [items] */
  uint32_t items;
} numbers;

static wn_status note_number(void *ctx, wn_item_ix ix, const wn_item_record *item,
                             wn_error *err WN_UNUSED) {
  numbers *n = ctx;
  const wn_attr *attr = wn_attrs_find(&item->attrs, n->name);
  if (ix < n->items && attr != NULL && attr->kind == WN_ATTR_NUMBER)
    n->number[ix] = (float)attr->number;
  return WN_OK;
}

typedef struct measured {
  float number, value;
  uint32_t bucket;
} measured;

static int by_number(const void *left, const void *right) {
  const measured *a = left, *b = right;
  return (a->number > b->number) - (a->number < b->number);
}
static int by_bucket(const void *left, const void *right) {
  const measured *a = left, *b = right;
  if (a->bucket != b->bucket) return a->bucket < b->bucket ? -1 : 1;
  return (a->value > b->value) - (a->value < b->value);
}

/* Buckets of equally many events; equal numbers share one. `edge`: the least number of each. */
static size_t cut_buckets(measured *m, size_t len, float *edge) {
  size_t wanted = len / BUCKET_EVENTS, buckets = 0;
  wanted = wanted < 1 ? 1 : wanted > BUCKETS ? BUCKETS : wanted;
  if (len > 0) qsort(m, len, sizeof *m, by_number);
  for (size_t i = 0; i < len; i++) {
    bool due = i * wanted >= buckets * len && buckets < wanted;
    if (i == 0 || (due && m[i].number > m[i - 1].number)) edge[buckets++] = m[i].number;
    m[i].bucket = (uint32_t)buckets - 1;
  }
  return buckets;
}

static wn_status fill_quantiles(quantiles *q, const float *number, measured *m, size_t len,
                                wn_error *err) {
  float edge[BUCKETS];
  size_t buckets = cut_buckets(m, len, edge);
  q->value = wn_reallocarray(NULL, len + 1, sizeof *q->value);
  q->bucket = wn_malloc((size_t)q->items + 1);
  if (q->value == NULL || q->bucket == NULL) return wn_fail_memory(err);
  if (len > 0) qsort(m, len, sizeof *m, by_bucket);
  for (size_t i = 0; i < len; i++) {
    q->value[i] = m[i].value;
    for (size_t b = m[i].bucket + 1; b <= BUCKETS; b++) q->begin[b] = i + 1;
  }
  for (uint32_t i = 0; i < q->items; i++) {
    size_t b = 0;
    while (b + 1 < buckets && number[i] >= edge[b + 1]) b++;
    q->bucket[i] = (uint8_t)(isnan(number[i]) || buckets == 0 ? BUCKETS : b);
  }
  return WN_OK;
}

static wn_status make_quantiles(wn_labels *l, size_t k, wn_event_list events,
                                const wn_dataset *data, wn_error *err) {
  wn_status status = WN_OK;
  numbers n = {l->objectives.data[k].among, NULL, data->items};
  WN_VEC(measured) values = {0};
  quantiles *q = &l->quantiles[k];
  q->items = data->items;
  n.number = wn_reallocarray(NULL, (size_t)data->items + 1, sizeof *n.number);
  if (n.number == NULL) WN_TRY(wn_fail_memory(err));
  for (uint32_t i = 0; i < data->items; i++) n.number[i] = NAN;
  if (data->items_source.scan != NULL)
    WN_TRY(data->items_source.scan(data->items_source.ctx, note_number, &n, err));
  for (size_t e = 0; e < events.len; e++) {
    const wn_event *of = &events.data[e];
    if (of->item >= data->items || isnan(n.number[of->item]) || isnan(of->value) ||
        !measures(l, k, of->type))
      continue;
    if (!wn_vec_push(&values, ((measured){n.number[of->item], of->value, 0})))
      WN_TRY(wn_fail_memory(err));
  }
  WN_TRY(fill_quantiles(q, n.number, values.data, values.len, err));
cleanup:
  wn_vec_clear(&values);
  wn_free(n.number);
  return status;
}

/* The share of the bucket's values below, those equal counting half; NaN: not known. */
static double quantile_of(const quantiles *q, wn_item_ix item, double value) {
  size_t b = item < q->items ? q->bucket[item] : BUCKETS;
  if (b >= BUCKETS || q->begin[b + 1] == q->begin[b]) return (double)NAN;
  size_t below = q->begin[b], upto;
  for (size_t high = q->begin[b + 1]; below < high;) {
    size_t middle = below + (high - below) / 2;
    if (q->value[middle] < (float)value)
      below = middle + 1;
    else
      high = middle;
  }
  upto = below;
  for (size_t high = q->begin[b + 1]; upto < high;) {
    size_t middle = upto + (high - upto) / 2;
    if (q->value[middle] <= (float)value)
      upto = middle + 1;
    else
      high = middle;
  }
  double all = (double)(q->begin[b + 1] - q->begin[b]);
  return ((double)(below - q->begin[b]) + 0.5 * (double)(upto - below)) / all;
}

/* --- rules --- */

wn_status wn_labels_create(const wn_objectives *objectives, const wn_signals *signals,
                           wn_event_list events, const wn_dataset *data, wn_labels **out,
                           wn_error *err) {
  wn_status status = WN_OK;
  wn_labels *l = wn_calloc(1, sizeof *l);
  if (l == NULL) return wn_fail_memory(err);
  l->objectives = *objectives;
  for (size_t k = 0; k < objectives->len; k++) {
    const wn_objective *o = &objectives->data[k];
    for (uint32_t t = 0; t < o->rule.terms; t++)
      l->type[k][t] = wn_signals_find(signals, wn_str_of(o->rule.term[t].type));
    if (o->among[0] != '\0') WN_TRY(make_quantiles(l, k, events, data, err));
  }
  *out = l;
cleanup:
  if (status != WN_OK) wn_labels_free(l);
  return status;
}

void wn_labels_free(wn_labels *labels) {
  for (size_t k = 0; labels != NULL && k < WN_OBJECTIVES_MAX; k++) {
    wn_free(labels->quantiles[k].bucket);
    wn_free(labels->quantiles[k].value);
  }
  wn_free(labels);
}

uint8_t wn_labels_of_event(const wn_labels *l, uint32_t type, wn_item_ix item, double value) {
  uint8_t bits = 0;
  for (size_t k = 0; k < l->objectives.len; k++) {
    const wn_label_rule *rule = &l->objectives.data[k].rule;
    for (uint32_t t = 0; t < rule->terms; t++) {
      if (l->type[k][t] != type) continue;
      double of = value;
      if (l->quantiles[k].bucket != NULL && rule->term[t].test != WN_LABEL_ANY)
        of = quantile_of(&l->quantiles[k], item, value);
      if (passes(&rule->term[t], of)) bits |= (uint8_t)(1u << k);
    }
  }
  return bits;
}

static int64_t within_of(const wn_labels *l, size_t k) {
  int64_t ms = l->objectives.data[k].rule.within_ms;
  return ms > 0 ? ms : WN_LABEL_WITHIN_DEFAULT;
}

uint8_t wn_labels_within(const wn_labels *l, int64_t elapsed_ms) {
  uint8_t bits = 0;
  for (size_t k = 0; k < l->objectives.len; k++)
    if (elapsed_ms <= within_of(l, k)) bits |= (uint8_t)(1u << k);
  return bits;
}

uint8_t wn_labels_ripe(const wn_labels *l, int64_t elapsed_ms) {
  uint8_t bits = 0;
  for (size_t k = 0; k < l->objectives.len; k++)
    if (elapsed_ms >= l->objectives.data[k].rule.within_ms) bits |= (uint8_t)(1u << k);
  return bits;
}

int64_t wn_labels_window_ms(const wn_labels *l) {
  int64_t most = 0;
  for (size_t k = 0; k < l->objectives.len; k++)
    if (within_of(l, k) > most) most = within_of(l, k);
  return most;
}

/* --- by user and item --- */

typedef struct success {
  uint64_t pair;
  int64_t time_ms;
  uint8_t bits;
} success;

struct wn_label_index {
  const wn_labels *labels;
  WN_VEC(success) all; /* by pair and time */
};

static uint64_t pair_of(wn_user_ix user, wn_item_ix item) {
  return (uint64_t)user << 32 | item;
}

static int by_pair(const void *left, const void *right) {
  const success *a = left, *b = right;
  if (a->pair != b->pair) return a->pair < b->pair ? -1 : 1;
  return (a->time_ms > b->time_ms) - (a->time_ms < b->time_ms);
}

wn_status wn_label_index_create(const wn_labels *labels, wn_event_list events, wn_label_index **out,
                                wn_error *err) {
  wn_label_index *index = wn_calloc(1, sizeof *index);
  if (index == NULL) return wn_fail_memory(err);
  index->labels = labels;
  for (size_t e = 0; e < events.len; e++) {
    const wn_event *of = &events.data[e];
    uint8_t bits = wn_labels_of_event(labels, of->type, of->item, (double)of->value);
    if (bits == 0) continue;
    if (!wn_vec_push(&index->all, ((success){pair_of(of->user, of->item), of->time_ms, bits}))) {
      wn_label_index_free(index);
      return wn_fail_memory(err);
    }
  }
  if (index->all.len > 0) qsort(index->all.data, index->all.len, sizeof(success), by_pair);
  *out = index;
  return WN_OK;
}

void wn_label_index_free(wn_label_index *index) {
  if (index != NULL) wn_vec_clear(&index->all);
  wn_free(index);
}

uint8_t wn_label_index_at(const wn_label_index *index, wn_user_ix user, wn_item_ix item,
                          int64_t time_ms) {
  uint64_t pair = pair_of(user, item);
  size_t low = 0, high = index->all.len;
  uint8_t bits = 0;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const success *s = &index->all.data[middle];
    if (s->pair < pair || (s->pair == pair && s->time_ms < time_ms))
      low = middle + 1;
    else
      high = middle;
  }
  for (; low < index->all.len && index->all.data[low].pair == pair; low++) {
    const success *s = &index->all.data[low];
    bits |= time_ms == WN_ANY_TIME
                ? s->bits
                : s->bits & wn_labels_within(index->labels, s->time_ms - time_ms);
  }
  return bits;
}
