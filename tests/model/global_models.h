#ifndef WN_TESTS_MODEL_GLOBAL_MODELS_H
#define WN_TESTS_MODEL_GLOBAL_MODELS_H
/* What the tests of popular, trending, newest and random share: candidates against a naive
 * sort of score_all under random filters, snapshots and back, damaged sections. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUR 3600000LL
#define DAY  (24 * HOUR)

static inline wn_model *fit(const wn_model_class *cls, const wn_dataset *data,
                            const wn_params *params) {
  wn_params values;
  wn_error err = {0};
  wn_model *model = NULL;
  wn_params_defaults(cls, &values);
  wn_pool *pool = wn_pool_create(1);
  wn_fit_env env = {.pool = pool, .seed = 1};
  wn_status status = cls->fit(data, params != NULL ? params : &values, &env, &model, &err);
  if (status != WN_OK) fail_msg("%s: %s", err.field, err.message);
  wn_pool_free(pool);
  assert_ptr_equal(model->cls, cls);
  return model;
}

static inline wn_model *fit_events(const wn_model_class *cls, const wn_event *events, size_t count,
                                   uint32_t items, const wn_params *params) {
  wn_dataset data;
  wn_error err;
  assert_int_equal(
      wn_dataset_build_events((wn_event_list){events, count}, NULL, 0, items, &data, &err), WN_OK);
  wn_model *model = fit(cls, &data, params);
  wn_dataset_clear(&data);
  return model;
}

static inline int by_score(const void *a, const void *b) {
  const wn_scored *x = a, *y = b;
  return wn_scored_before(*x, *y) ? -1 : wn_scored_before(*y, *x) ? 1 : 0;
}

/* candidates(k) must be the first k of all scores sorted, exactly. */
static inline void check_twin(const wn_model *model, const wn_query *query, uint32_t items,
                              size_t k) {
  wn_error err;
  size_t count = 0, known = 0;
  float *scores = wn_calloc((size_t)items + 1, sizeof *scores);
  wn_scored *all = wn_calloc((size_t)items + 1, sizeof *all);
  wn_scored *got = wn_calloc(k + 1, sizeof *got);
  assert_int_equal(model->cls->score_all(model, query, scores, items, &err), WN_OK);
  assert_int_equal(model->cls->candidates(model, query, k, got, &count, &err), WN_OK);
  for (uint32_t ix = 0; ix < items; ix++) {
    bool allowed = query->allowed == NULL || wn_bitset_test(query->allowed, ix);
    assert_true(allowed || scores[ix] == -INFINITY);
    if (scores[ix] > -INFINITY) all[known++] = (wn_scored){ix, scores[ix]};
  }
  qsort(all, known, sizeof *all, by_score);
  assert_int_equal(count, known < k ? known : k);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(got[i].ix, all[i].ix);
    assert_true(got[i].score == all[i].score);
  }
  wn_free(scores);
  wn_free(all);
  wn_free(got);
}

static inline void check_twin_filtered(const wn_model *model, uint32_t items, uint64_t seed) {
  static const double shares[] = {1.0, 0.5, 0.01, 0.0};
  static const size_t ks[] = {0, 1, 20, 1000};
  wn_rng rng;
  wn_bitset allowed;
  wn_rng_seed(&rng, seed);
  assert_true(wn_bitset_init(&allowed, items + 70)); /* more bits than items */
  for (size_t s = 0; s < 4; s++) {
    wn_bitset_fill(&allowed, false);
    for (size_t i = 0; i < items + 70; i++)
      if (wn_rng_double(&rng) < shares[s]) wn_bitset_set(&allowed, i);
    wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .allowed = &allowed, .seed = seed};
    for (size_t i = 0; i < 4; i++) check_twin(model, &query, items + 5, ks[i]);
  }
  wn_bitset_clear(&allowed);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .seed = seed};
  check_twin(model, &query, items + 5, 50);
  check_twin(model, &query, items, items + 10);
}

/* Writes the model (with one section changed, when `edit` is given) and maps it again. */
typedef struct edited {
  const char *name; /* NULL: nothing is changed */
  const void *data;
  uint64_t bytes;
} edited;

static inline wn_status save_and_map(const wn_model *model, const edited *edit,
                                     wn_snapshot **snapshot, wn_model **out) {
  char path[] = "/tmp/winnow-model-XXXXXX", copy[sizeof path + 8];
  wn_error err = {0};
  wn_snapshot_writer *writer;
  const wn_snapshot_about about = {.number = 1, .items = 1000000, .users = 10};
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(wn_snapshot_writer_create(path, &writer, &err), WN_OK);
  assert_int_equal(model->cls->save(model, writer, &err), WN_OK);
  assert_int_equal(wn_snapshot_writer_finish(writer, &about, &err), WN_OK);
  assert_int_equal(wn_snapshot_open(path, snapshot, &err), WN_OK);
  unlink(path);
  if (edit != NULL) {
    wn_snapshot *whole = *snapshot;
    snprintf(copy, sizeof copy, "%s.edit", path);
    assert_int_equal(wn_snapshot_writer_create(copy, &writer, &err), WN_OK);
    for (size_t i = 0; i < wn_snapshot_section_count(whole); i++) {
      const char *name;
      const void *data;
      uint64_t bytes;
      wn_snapshot_section_at(whole, i, &name, &bytes);
      if (strcmp(name, "about") == 0) continue;
      assert_int_equal(wn_snapshot_section(whole, name, 1, &data, &bytes, &err), WN_OK);
      bool changed = edit->name != NULL && strcmp(name, edit->name) == 0;
      if (changed && edit->data == NULL) continue; /* left out */
      assert_int_equal(wn_snapshot_write(writer, name, changed ? edit->data : data,
                                         changed ? edit->bytes : bytes, &err),
                       WN_OK);
    }
    assert_int_equal(wn_snapshot_writer_finish(writer, &about, &err), WN_OK);
    wn_snapshot_unref(whole);
    assert_int_equal(wn_snapshot_open(copy, snapshot, &err), WN_OK);
    unlink(copy);
  }
  *out = NULL;
  return model->cls->map(*snapshot, out, &err);
}

/* The mapped model answers like the one that was saved, and still after `change`. */
static inline void check_round_trip(wn_model *model, uint32_t items, void (*change)(wn_model *)) {
  wn_snapshot *snapshot;
  wn_model *mapped;
  assert_int_equal(save_and_map(model, NULL, &snapshot, &mapped), WN_OK);
  uint32_t n = items + 10;
  float *a = wn_calloc(n, sizeof *a), *b = wn_calloc(n, sizeof *b);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .seed = 3};
  wn_error err;
  for (int round = 0; round < 2; round++) {
    assert_int_equal(model->cls->score_all(model, &query, a, n, &err), WN_OK);
    assert_int_equal(model->cls->score_all(mapped, &query, b, n, &err), WN_OK);
    assert_memory_equal(a, b, n * sizeof *a);
    if (change == NULL) break;
    change(model);
    change(mapped);
  }
  check_twin_filtered(mapped, items, 5);
  wn_free(a);
  wn_free(b);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
}

static inline void check_refused(const wn_model *model, const char *section, const void *data,
                                 uint64_t bytes) {
  wn_snapshot *snapshot;
  wn_model *mapped;
  wn_status status = save_and_map(model, &(edited){section, data, bytes}, &snapshot, &mapped);
  assert_true(status == WN_E_CORRUPT || status == WN_E_NOT_FOUND);
  assert_null(mapped);
  wn_snapshot_unref(snapshot);
}

/* fit with each allocation failing in turn */
static inline void check_out_of_memory(const wn_model_class *cls, const wn_dataset *data) {
  wn_params params;
  wn_error err;
  wn_params_defaults(cls, &params);
  wn_pool *pool = wn_pool_create(1);
  wn_fit_env env = {.pool = pool};
  for (long n = 0;; n++) {
    wn_model *model = NULL;
    wn_mem_fail_after(n);
    wn_status status = cls->fit(data, &params, &env, &model, &err);
    bool done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    if (status == WN_OK) cls->free(model);
    if (done) break;
    assert_int_equal(status, WN_E_MEMORY);
  }
  wn_pool_free(pool);
  cls->free(NULL);
}

#endif
