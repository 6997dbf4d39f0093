#ifndef WN_TESTS_FUNNEL_FIXTURE_H
#define WN_TESTS_FUNNEL_FIXTURE_H
/* A small world for the tests of the funnel: a random catalogue and tiny models whose opinions are
 * hashes, so that every expectation can be computed anew. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "funnel/funnel.h"

#define FX_UNUSED WN_UNUSED
#define FX_D      8
#define FX_MODELS 7

/* A model: score of an item = a hash of (salt, item), the k best of the allowed ones. */
typedef struct fx_model {
  wn_model base;
  wn_model_class cls;
  uint64_t salt;
  uint32_t items;
  uint32_t knows;      /* proposes items below this only */
  bool ignores_filter; /* a broken one */
  long calls;
  float vectors[4096][FX_D];
} fx_model;

typedef struct fx_world {
  wn_dict *ids;
  wn_catalog *catalog;
  wn_expr_cache *filters;
  wn_signals signals;
  wn_arena arena;
  fx_model *fakes;
  wn_models models;
  uint32_t items;
} fx_world;

FX_UNUSED static float fx_score(const fx_model *model, wn_item_ix item) {
  return (float)(wn_mix64(model->salt * 1000003u + item) % 100000u) / 1000.0f - 20.0f;
}

FX_UNUSED static wn_status fx_candidates(const wn_model *base, const wn_query *query, size_t k,
                                         wn_scored *out, size_t *count, wn_error *err) {
  fx_model *model = (fx_model *)(uintptr_t)base;
  wn_topk top;
  (void)err;
  model->calls++;
  wn_topk_init(&top, out, k);
  for (uint32_t i = 0; i < model->items && i < model->knows; i++) {
    bool allowed = query->allowed == NULL || wn_bitset_test(query->allowed, i);
    if (allowed || model->ignores_filter) wn_topk_push(&top, i, fx_score(model, i));
  }
  *count = wn_topk_sort(&top);
  return WN_OK;
}

FX_UNUSED static const float *fx_vector(const wn_model *base, wn_item_ix item, uint32_t *d) {
  const fx_model *model = (const fx_model *)base;
  *d = FX_D;
  return item < model->items && item % 17 != 3 ? model->vectors[item] : NULL;
}

/* "a", "b": need nothing; "hist", "anchor", "both": flags; "vec": item vectors; "broken". */
FX_UNUSED static void fx_models_init(fx_world *w) {
  static const struct {
    const char *name;
    unsigned flags;
  } rows[FX_MODELS] = {{"a", 0},
                       {"b", 0},
                       {"hist", WN_MODEL_HISTORY},
                       {"anchor", WN_MODEL_ANCHOR},
                       {"both", WN_MODEL_HISTORY | WN_MODEL_ANCHOR},
                       {"vec", 0},
                       {"broken", 0}};
  w->fakes = calloc(FX_MODELS, sizeof *w->fakes);
  assert_non_null(w->fakes);
  wn_rng rng;
  wn_rng_seed(&rng, 99);
  for (size_t m = 0; m < FX_MODELS; m++) {
    fx_model *fake = &w->fakes[m];
    fake->cls =
        (wn_model_class){.name = rows[m].name, .flags = rows[m].flags, .candidates = fx_candidates};
    fake->base.cls = &fake->cls;
    fake->salt = m + 1;
    fake->items = w->items;
    fake->knows = UINT32_MAX;
    fake->ignores_filter = strcmp(rows[m].name, "broken") == 0;
    if (strcmp(rows[m].name, "vec") == 0) fake->cls.item_vector = fx_vector;
    for (size_t i = 0; i < 4096; i++) {
      for (size_t k = 0; k < FX_D; k++) fake->vectors[i][k] = (float)wn_rng_normal(&rng);
      fake->vectors[i][i % 5] += 3.0f; /* five clusters */
    }
    w->models.data[w->models.len++] = &fake->base;
  }
}

FX_UNUSED static fx_model *fx_model_named(fx_world *w, const char *name) {
  for (size_t m = 0; m < FX_MODELS; m++) {
    if (strcmp(w->fakes[m].cls.name, name) == 0) return &w->fakes[m];
  }
  fail_msg("no model %s", name);
  return NULL;
}

/* Puts item `i` with random attributes: section (string, 5), tags (list of 0 to 3 of 6), price
 * (number), free (bool), mixed (any kind); each may be missing. */
FX_UNUSED static void fx_put_random(fx_world *w, wn_item_ix i, wn_rng *rng) {
  static const char *const words[] = {"red", "green", "blue", "a \"b\"", "\xC3\xA9t\xC3\xA9", ""};
  wn_attr attrs[8];
  wn_str list[4];
  char id[32], title[32], section[16];
  size_t len = 0;
  snprintf(id, sizeof id, "i%u", i);
  snprintf(title, sizeof title, "Title %u", (unsigned)wn_rng_below(rng, 20));
  snprintf(section, sizeof section, "s%u", (unsigned)wn_rng_below(rng, 5));
  if (wn_rng_below(rng, 8) > 0) {
    attrs[len++] =
        (wn_attr){.name = WN_STR("section"), .kind = WN_ATTR_STRING, .string = wn_str_of(section)};
  }
  if (wn_rng_below(rng, 4) > 0) {
    size_t n = wn_rng_below(rng, 4);
    for (size_t t = 0; t < n; t++) list[t] = wn_str_of(words[wn_rng_below(rng, 6)]);
    attrs[len++] =
        (wn_attr){.name = WN_STR("tags"), .kind = WN_ATTR_LIST, .list = list, .list_len = n};
  }
  if (wn_rng_below(rng, 4) > 0) {
    attrs[len++] = (wn_attr){.name = WN_STR("price"),
                             .kind = WN_ATTR_NUMBER,
                             .number = (double)wn_rng_below(rng, 9) - 3.5};
  }
  if (wn_rng_below(rng, 3) > 0) {
    attrs[len++] = (wn_attr){
        .name = WN_STR("free"), .kind = WN_ATTR_BOOL, .boolean = wn_rng_below(rng, 2) == 1};
  }
  wn_attr mixed = {.name = WN_STR("mixed"), .kind = (wn_attr_kind)wn_rng_below(rng, 4)};
  mixed.boolean = true;
  mixed.number = (double)wn_rng_below(rng, 3);
  mixed.string = wn_str_of(words[wn_rng_below(rng, 6)]);
  mixed.list = list + 3;
  mixed.list_len = 1;
  list[3] = wn_str_of(words[wn_rng_below(rng, 6)]);
  if (wn_rng_below(rng, 3) > 0) attrs[len++] = mixed;
  wn_item_record record = {.id = wn_str_of(id),
                           .attrs = {attrs, len},
                           .created_ms = (int64_t)wn_rng_below(rng, 5) * 86400000};
  if (wn_rng_below(rng, 4) > 0) record.title = wn_str_of(title);
  wn_error err;
  assert_int_equal(wn_catalog_put(w->catalog, i, &record, &err), WN_OK);
}

FX_UNUSED static void fx_id(fx_world *w, wn_item_ix i) {
  char id[32];
  uint32_t ix;
  bool added;
  snprintf(id, sizeof id, "i%u", i);
  assert_int_equal(wn_dict_add(w->ids, wn_str_of(id), &ix, &added), WN_OK);
  assert_int_equal(ix, i);
}

FX_UNUSED static void fx_init(fx_world *w, uint32_t items, uint64_t seed) {
  wn_rng rng;
  memset(w, 0, sizeof *w);
  wn_rng_seed(&rng, seed);
  w->ids = wn_dict_create();
  w->catalog = wn_catalog_create(w->ids);
  w->filters = wn_expr_cache_create(16);
  assert_non_null(w->catalog);
  assert_non_null(w->filters);
  wn_arena_init(&w->arena, (size_t)256 << 20);
  w->items = items;
  for (uint32_t i = 0; i < items; i++) {
    fx_id(w, i);
    fx_put_random(w, i, &rng);
  }
  w->signals.len = 3;
  w->signals.data[0] = (wn_signal){.name = "view", .weight = 1, .seen = false};
  w->signals.data[1] = (wn_signal){.name = "buy", .weight = 4, .seen = true};
  w->signals.data[2] = (wn_signal){.name = "hide", .weight = -2, .seen = true};
  fx_models_init(w);
}

FX_UNUSED static void fx_clear(fx_world *w) {
  wn_expr_cache_free(w->filters);
  wn_catalog_free(w->catalog);
  wn_dict_free(w->ids);
  wn_arena_clear(&w->arena);
  free(w->fakes);
}

FX_UNUSED static void fx_generator(wn_surface *s, const char *model, uint32_t quota, float weight) {
  wn_generator_spec *spec = &s->generators[s->generators_len++];
  snprintf(spec->model, sizeof spec->model, "%s", model);
  spec->quota = quota;
  spec->weight = weight;
}
FX_UNUSED static void fx_fallback(wn_surface *s, const char *model, uint32_t quota) {
  wn_generator_spec *spec = &s->fallback[s->fallback_len++];
  snprintf(spec->model, sizeof spec->model, "%s", model);
  spec->quota = quota;
  spec->weight = 1.0f;
}
FX_UNUSED static void fx_cap(wn_surface *s, const char *attribute, uint32_t max) {
  wn_cap *cap = &s->caps[s->caps_len++];
  snprintf(cap->attribute, sizeof cap->attribute, "%s", attribute);
  cap->max = max;
}
FX_UNUSED static void fx_pin(wn_surface *s, const char *item, uint32_t position) {
  wn_pin *pin = &s->pins[s->pins_len++];
  snprintf(pin->item, sizeof pin->item, "%s", item);
  pin->position = position;
}
FX_UNUSED static void fx_boost(wn_surface *s, const char *where, float factor) {
  wn_boost *boost = &s->boosts[s->boosts_len++];
  snprintf(boost->where, sizeof boost->where, "%s", where);
  boost->factor = factor;
}
FX_UNUSED static void fx_diversity(wn_surface *s, const char *by, bool model, float lambda) {
  snprintf(s->diversity_by, sizeof s->diversity_by, "%s", by);
  s->diversity_is_model = model;
  s->mmr_lambda = lambda;
}

FX_UNUSED static wn_request fx_request(fx_world *w, const wn_surface *surface, uint32_t n) {
  return (wn_request){.surface = surface,
                      .models = &w->models,
                      .catalog = w->catalog,
                      .filters = w->filters,
                      .signals = &w->signals,
                      .query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .arena = &w->arena},
                      .n = n};
}

FX_UNUSED static wn_slate fx_run(const wn_request *request) {
  wn_slate slate;
  wn_error err = {0};
  wn_arena_reset(request->query.arena);
  wn_status status = wn_funnel_run(request, &slate, &err);
  if (status != WN_OK) fail_msg("funnel: %s: %s", err.field, err.message);
  return slate;
}

FX_UNUSED static bool fx_has(const wn_slate *slate, wn_item_ix item) {
  for (size_t i = 0; i < slate->len; i++) {
    if (slate->items[i].item == item) return true;
  }
  return false;
}

FX_UNUSED static bool fx_noted(const wn_trace *trace, const char *part) {
  for (size_t i = 0; i < trace->notes_len; i++) {
    if (strstr(trace->notes[i], part) != NULL) return true;
  }
  return false;
}

FX_UNUSED static const char *fx_dropped(const wn_trace *trace, wn_item_ix item) {
  for (size_t i = 0; i < trace->drops_len; i++) {
    if (trace->drops[i].item == item) return trace->drops[i].reason;
  }
  return "";
}

#endif
