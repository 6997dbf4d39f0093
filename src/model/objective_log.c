/* What was shown, with the features that were logged then, and what came of it: the rows that
 * objectives learn from. Which event answers which impression says store/answered.h.
 *
 * All successes are kept. Failures are thinned to ROWS_MAX in all, by a hash of slate and item:
 * whenever there are too many, the bound on the hash is halved and those above it go. Each that
 * stays then stands for as many as there were, so that probabilities stay what they are.
 *
 * Left out: items without features, slates whose features were of another set than the one that is
 * trained now (nothing rebuilds the past), and labels whose time has not passed yet. */
#include "base/log.h"
#include "base/map64.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"
#include "model/feature_log.h"
#include "model/ranker.h"
#include "model/train.h"
#include "store/answered.h"

#include <math.h>
#include <string.h>

#define ROWS_MAX  300000
#define ARENA_MAX ((size_t)64 << 20)

typedef struct shown {
  uint64_t unit, hash;
  float propensity;
  uint16_t place;
  uint8_t success, unknown;
} shown;

typedef struct collection {
  const wn_label_log *log;
  const wn_labels *labels;
  uint64_t set;
  size_t features;
  int64_t until_ms;
  WN_VEC(shown) rows;
  WN_VEC(float) feature;
  uint64_t limit; /* failures with a greater hash go */
  wn_arena arena;
  size_t slates, without, others; /* slates; without features; of another set */
} collection;

static bool is_kept(const collection *c, const shown *row) {
  return row->success != 0 || row->hash <= c->limit;
}

static void thin(collection *c) {
  size_t kept = 0;
  c->limit /= 2;
  for (size_t i = 0; i < c->rows.len; i++) {
    if (!is_kept(c, &c->rows.data[i])) continue;
    c->rows.data[kept] = c->rows.data[i];
    memmove(c->feature.data + kept * c->features, c->feature.data + i * c->features,
            c->features * sizeof(float));
    kept++;
  }
  c->rows.len = kept;
  c->feature.len = kept * c->features;
}

static bool is_absent(const float *row, size_t features) {
  for (size_t f = 0; f < features; f++)
    if (!isnan(row[f])) return false;
  return true;
}

static uint8_t success_of(const collection *c, const wn_slate_log *slate, size_t at,
                          const wn_answer *answers, size_t len) {
  uint8_t bits = 0;
  for (size_t a = 0; a < len; a++) {
    const wn_answer *of = &answers[a];
    if (of->position != at + 1 || (c->log->upto_seq != 0 && of->seq > c->log->upto_seq)) continue;
    bits |= wn_labels_of_event(c->labels, of->type, of->item, of->value) &
            wn_labels_within(c->labels, of->time_ms - slate->time_ms);
  }
  return bits;
}

static wn_status take_slate(collection *c, const wn_slate_log *slate, const wn_answer *answers,
                            size_t len, wn_error *err) {
  wn_logged_features logged;
  wn_arena_reset(&c->arena);
  wn_status status = wn_feature_log_decode(slate->features, &c->arena, &logged, err);
  if (status != WN_OK) return status;
  if (logged.set != c->set || logged.features != c->features || logged.len != slate->len) {
    c->others++;
    return WN_OK;
  }
  uint64_t id = wn_hash64(slate->id.ptr, slate->id.len, 0);
  uint64_t unit = slate->user != WN_NO_IX ? wn_mix64(slate->user) : id;
  for (size_t i = 0; i < slate->len; i++) {
    const float *feature = logged.feature + i * c->features;
    shown row = {.unit = unit,
                 .hash = wn_mix64(id + i),
                 .propensity = slate->propensities[i],
                 .place = (uint16_t)(i + 1),
                 .success = success_of(c, slate, i, answers, len),
                 .unknown = (uint8_t)~wn_labels_ripe(c->labels, c->until_ms - slate->time_ms)};
    if (is_absent(feature, c->features) || !is_kept(c, &row)) continue;
    if (c->rows.len >= ROWS_MAX) thin(c);
    if (!wn_vec_push(&c->rows, row) || !wn_vec_reserve(&c->feature, c->feature.len + c->features))
      return wn_fail_memory(err);
    memcpy(c->feature.data + c->feature.len, feature, c->features * sizeof *feature);
    c->feature.len += c->features;
  }
  return WN_OK;
}

static wn_status each_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                            size_t len, wn_error *err) {
  collection *c = ctx;
  if (slate->time_ms < c->log->since_ms) return WN_OK;
  if (c->log->upto_seq != 0 && slate->time_ms > c->until_ms) return WN_OK;
  c->slates++;
  if (slate->features.len == 0) {
    c->without++;
    return WN_OK;
  }
  return take_slate(c, slate, answers, len, err);
}

static wn_status hand_over(collection *c, wn_objective_rows *out, wn_error *err) {
  size_t n = c->rows.len;
  float stands_for = (float)(18446744073709551616.0 / ((double)c->limit + 1));
  *out = (wn_objective_rows){.feature = c->feature.data,
                             .weight = wn_reallocarray(NULL, n + 1, sizeof *out->weight),
                             .success = wn_malloc(n + 1),
                             .unknown = wn_malloc(n + 1),
                             .unit = wn_reallocarray(NULL, n + 1, sizeof *out->unit),
                             .place = wn_reallocarray(NULL, n + 1, sizeof *out->place),
                             .propensity = wn_reallocarray(NULL, n + 1, sizeof *out->propensity),
                             .rows = n,
                             .features = c->features,
                             .source = WN_OBJECTIVE_IMPRESSIONS};
  c->feature.data = NULL;
  if (out->weight == NULL || out->success == NULL || out->unknown == NULL || out->unit == NULL ||
      out->place == NULL || out->propensity == NULL)
    return wn_fail_memory(err);
  for (size_t i = 0; i < n; i++) {
    const shown *row = &c->rows.data[i];
    out->weight[i] = row->success != 0 ? 1 : stands_for;
    out->success[i] = row->success;
    out->unknown[i] = row->unknown;
    out->unit[i] = row->unit;
    out->place[i] = row->place;
    out->propensity[i] = row->propensity;
  }
  return WN_OK;
}

wn_status wn_objective_rows_logged(const wn_label_log *log, const wn_labels *labels, uint64_t set,
                                   uint32_t features, wn_objective_rows *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_answered_options how;
  collection c = {.log = log,
                  .labels = labels,
                  .set = set,
                  .features = features,
                  .until_ms = log->until_ms,
                  .limit = UINT64_MAX};
  memset(out, 0, sizeof *out);
  wn_answered_options_defaults(&how);
  how.window_ms = wn_labels_window_ms(labels);
  wn_arena_init(&c.arena, ARENA_MAX);
  WN_TRY(wn_store_scan_answered(log->store, &how, each_slate, &c, err));
  wn_log(WN_LOG_INFO,
         "impressions: %zu slates, %zu without features, %zu with those of another set; %zu rows",
         c.slates, c.without, c.others, c.rows.len);
  WN_TRY(hand_over(&c, out, err));
cleanup:
  wn_arena_clear(&c.arena);
  wn_vec_clear(&c.rows);
  wn_vec_clear(&c.feature);
  if (status != WN_OK) wn_objective_rows_clear(out);
  return status;
}
