/* A world with trained models: made-up users with a taste for low numbers, and one of them who
 * asks. */
#ifndef WN_TESTS_FUNNEL_TRAINED_H
#define WN_TESTS_FUNNEL_TRAINED_H

#include "fixture.h"
#include "model/train.h"

enum { ITEMS = 80, LEN = 9 };

typedef struct world {
  fx_world fx;
  wn_dataset data;
  wn_models models;
  wn_history_entry history[LEN];
  wn_query query;
} world;

/* `sets` are parameters: the models that they name are trained. */
static void trained_init(world *w, uint32_t users, const char *const *sets, size_t sets_len) {
  wn_event *events = wn_calloc((size_t)users * LEN, sizeof *events);
  wn_train_options o;
  wn_rng rng;
  wn_error err;
  memset(w, 0, sizeof *w);
  fx_init(&w->fx, ITEMS, 4);
  wn_rng_seed(&rng, 2);
  for (size_t i = 0; i < users * LEN; i++) {
    double x = wn_rng_double(&rng);
    events[i] = (wn_event){.user = (uint32_t)(i / LEN),
                           .item = (uint32_t)(x * x * ITEMS),
                           .value = NAN,
                           .time_ms = 1000 + (int64_t)(i % LEN) * 50};
  }
  assert_int_equal(wn_dataset_build_events((wn_event_list){events, users * LEN}, NULL, users, ITEMS,
                                           &w->data, &err),
                   WN_OK);
  wn_free(events);
  wn_train_options_defaults(&o);
  for (size_t i = 0; i < o.models_len; i++)
    o.models[i].left_out = true, o.models[i].automatic = false;
  for (size_t i = 0; i < sets_len; i++)
    assert_int_equal(wn_train_options_set(&o, sets[i], &err), WN_OK);
  o.threads = 1;
  if (wn_train(&w->data, &o, NULL, &w->models, &err) != WN_OK) fail_msg("%s", err.message);
  const wn_csr *m = &w->data.by_user;
  for (uint64_t p = m->row_ptr[3 + 1]; p-- > m->row_ptr[3];)
    w->history[w->query.history_len++] = (wn_history_entry){m->col[p], m->weight[p], m->time_ms[p]};
  w->query.history = w->history;
  w->query.user = 3;
  w->query.anchor = WN_NO_IX;
  w->query.arena = &w->fx.arena;
}

static void trained_clear(world *w) {
  wn_models_clear(&w->models);
  wn_dataset_clear(&w->data);
  fx_clear(&w->fx);
}

static wn_slate trained_run(world *w, const wn_surface *s) {
  wn_request r = fx_request(&w->fx, s, 20);
  r.models = &w->models;
  r.query = w->query;
  r.explain = true;
  return fx_run(&r);
}

#endif
