/* Items that events and puts bring between two trainings: against a dense twin, in lists, after
 * deletions, through snapshots, without memory. */
#include "fitting.h"
#include "model/als.h"

#define USERS 60u
#define ITEMS 45u
#define NEW   (ITEMS + 3)

static void make_data(wn_dataset *data, uint64_t seed) {
  static fact facts[USERS * 20];
  size_t n = random_facts(seed, USERS - 1, ITEMS - 2, 20, facts);
  dataset_of(facts, n, USERS, ITEMS, data);
}

static void send(wn_model *model, uint32_t user, uint32_t item, float weight) {
  wn_event event = {.user = user, .item = item, .value = NAN, .time_ms = 5000};
  model->cls->update(model, &event, weight);
}

/* A user who liked three of the fit's items. */
static void introduce(wn_model *model, uint32_t user) {
  for (uint32_t k = 0; k < 3; k++) send(model, user, (user * 7 + k * 5) % (ITEMS - 5), 1);
}

static wn_query query_of(uint32_t user, wn_history_entry *history) {
  for (uint32_t k = 0; k < 3; k++) {
    history[k] = (wn_history_entry){(user * 7 + (2 - k) * 5) % (ITEMS - 5), 1, 3 - k};
  }
  return (wn_query){.history = history, .history_len = 3, .user = user, .anchor = WN_NO_IX};
}

/* y by Gauss–Seidel on (Σ c·xxᵀ + α₀XᵀX + λ(Σc + α₀·users)^ν I) y = Σ c·x, in the items' basis. */
static void naive_item(const wn_als *als, const uint32_t *users, size_t n, double *y) {
  const wn_als_head *h = &als->head;
  size_t d = h->d;
  double *A = wn_calloc(d * d, sizeof *A), *b = wn_calloc(d, sizeof *b), sum = 0;
  wn_arena arena;
  wn_arena_init(&arena, 1 << 24);
  for (uint32_t u = 0; u < h->users; u++) {
    const float *x = als->user + u * d;
    for (size_t i = 0; i < d * d; i++) A[i] += h->alpha0 * (double)x[i / d] * (double)x[i % d];
  }
  for (size_t i = 0; i < n; i++) {
    wn_history_entry history[3];
    wn_query query = query_of(users[i], history);
    const float *x = NULL;
    double c = (double)wn_als_confidence(h, 1);
    assert_ok(wn_als_fold_in(als, &query, &arena, &x, err));
    for (size_t k = 0; k < d * d; k++) A[k] += c * (double)x[k / d] * (double)x[k % d];
    for (size_t k = 0; k < d; k++) b[k] += c * (double)x[k];
    sum += c;
  }
  double ridge = h->lambda * pow(sum + h->alpha0 * h->users_active, h->nu);
  for (size_t k = 0; k < d; k++) A[k * d + k] += ridge, y[k] = 0;
  for (int sweep = 0; sweep < 3000; sweep++) {
    for (size_t k = 0; k < d; k++) {
      double r = b[k];
      for (size_t j = 0; j < d; j++) r -= j != k ? A[k * d + j] * y[j] : 0;
      y[k] = r / A[k * d + k];
    }
  }
  wn_free(A);
  wn_free(b);
  wn_arena_clear(&arena);
}

static void check_twins(const wn_model *model) {
  wn_bitset some;
  assert_true(wn_bitset_init(&some, NEW + 10));
  for (uint32_t i = 0; i < NEW + 10; i += 3) wn_bitset_set(&some, i);
  for (int filter = 0; filter < 2; filter++) {
    wn_history_entry history[5];
    wn_query query = query_of(3, history);
    query.allowed = filter ? &some : NULL;
    assert_twins(model, &query, NEW + 10);
    history[3] = (wn_history_entry){NEW, 2, 0};
    history[4] = (wn_history_entry){ITEMS - 1, -1, 0};
    query.history_len = 5;
    assert_twins(model, &query, NEW + 10);
    wn_query anchor = {.user = WN_NO_IX, .anchor = NEW, .allowed = query.allowed};
    assert_twins(model, &anchor, NEW + 10);
    anchor.anchor = 1;
    assert_twins(model, &anchor, NEW + 10);
  }
  wn_bitset_clear(&some);
}

/* After each event the new item's vector is the twin's. */
static void test_new_item(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 31);
  const char *params[] = {"factors=5", "factors=24 alpha0=.3 nu=1.2"};
  for (int p = 0; p < 2; p++) {
    wn_model *model = fit(&wn_model_als, &data, params[p]);
    const wn_als *als = (const wn_als *)model;
    uint32_t users[8], d = 0;
    double y[24];
    for (uint32_t n = 0; n < 8; n++) {
      users[n] = USERS + n; /* unknown to the fit */
      introduce(model, users[n]);
      if (n == 0) assert_null(model->cls->item_vector(model, NEW, &d));
      send(model, users[n], NEW, 1);
      naive_item(als, users, n + 1, y);
      const float *v = model->cls->item_vector(model, NEW, &d);
      assert_non_null(v);
      double off = 0, norm = 0;
      for (uint32_t k = 0; k < d; k++) {
        off += (y[k] - (double)v[k]) * (y[k] - (double)v[k]);
        norm += y[k] * y[k];
      }
      if (!(sqrt(off) <= 1e-3 * sqrt(norm))) fail_msg("%g of %g", sqrt(off), sqrt(norm));
      check_twins(model);
    }
    model->cls->free(model);
  }
  wn_dataset_clear(&data);
}

/* Five takers of one taste: the item is proposed to a sixth before most of the catalogue. */
static void test_proposed(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 32);
  wn_model *model = fit(&wn_model_als, &data, "factors=16");
  for (uint32_t n = 0; n < 5; n++) {
    for (uint32_t k = 0; k < 3; k++) send(model, 100 + n, 30 + k * 3, 1);
    send(model, 100 + n, NEW, 1);
  }
  wn_history_entry history[3] = {{30, 1, 3}, {33, 1, 2}, {36, 1, 1}};
  wn_query query = {.history = history, .history_len = 3, .user = 200, .anchor = WN_NO_IX};
  wn_scored list[8];
  size_t count = 0, place = 8;
  assert_ok(model->cls->candidates(model, &query, 8, list, &count, err));
  for (size_t i = 0; i < count; i++) place = list[i].ix == NEW ? i : place;
  assert_true(place < 8);
  wn_query_batch batch = {.query = &query, .len = 1, .k = 8, .out = list, .count = &count};
  wn_scored alone[8];
  memcpy(alone, list, sizeof list);
  assert_ok(wn_model_candidates_batch(model, &batch, err));
  assert_int_equal(count, 8);
  assert_memory_equal(alone, list, sizeof list);
  query = (wn_query){.user = WN_NO_IX, .anchor = NEW};
  assert_ok(model->cls->candidates(model, &query, 8, list, &count, err));
  assert_int_equal(count, 8);
  size_t alike = 0;
  for (size_t i = 0; i < 6; i++) alike += list[i].ix == 30 || list[i].ix == 33 || list[i].ix == 36;
  assert_true(alike >= 2);
  history[1].item = NEW; /* new items are asked with, too */
  query = (wn_query){.history = history + 1, .history_len = 1, .user = 1, .anchor = WN_NO_IX};
  assert_ok(model->cls->candidates(model, &query, 8, list, &count, err));
  assert_int_equal(count, 8);
  assert_ok(model->cls->similar_users(model, &query, 8, list, &count, err));
  assert_int_equal(count, 8);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* More takers than an item keeps, users who come again, dislikes, deletions, nonsense. */
static void test_stress(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 33);
  wn_model *model = fit(&wn_model_als, &data, "factors=12");
  wn_rng rng;
  wn_rng_seed(&rng, 34);
  for (uint32_t n = 0; n < 4000; n++) {
    uint32_t user = (uint32_t)wn_rng_below(&rng, 150), item = (uint32_t)wn_rng_below(&rng, NEW + 8);
    if (n < 300) introduce(model, n / 2);
    send(model, user, n % 2 ? NEW : item, n % 5 ? 1 : -1);
    if (n % 50 == 0) model->cls->forget(model, user);
  }
  send(model, 1, WN_NO_IX, 1);
  send(model, WN_NO_IX, 1, 1);
  send(model, 1, NEW, NAN);
  send(model, 1, NEW, 0);
  const wn_als *als = (const wn_als *)model;
  const wn_als_live_item *item = &als->live.item[wn_als_live_at(als, NEW) - 1];
  assert_int_equal(item->len, WN_ALS_LIVE_TAKERS);
  assert_true(item->events > WN_ALS_LIVE_TAKERS);
  assert_true(als->live.bytes < WN_ALS_LIVE_BYTES);
  for (size_t u = 0; u < als->live.users.len; u++) {
    assert_true(als->live.users.data[u].len <= WN_ALS_LIVE_RECENT);
  }
  check_twins(model);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* A deleted user's name is gone, her snapshot row too. */
static void test_forget(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 35);
  wn_model *model = fit(&wn_model_als, &data, "factors=8");
  wn_als *als = (wn_als *)model;
  const uint64_t row_ptr[] = {0, 2, 4};
  const wn_item_ix item[] = {1, 2, 3, 4};
  const float weight[] = {1, 0, 1, 1};
  als->live.history =
      (wn_history_base){.users = 2, .row_ptr = row_ptr, .item = item, .weight = weight};
  send(model, 0, NEW, 1);
  send(model, 1, NEW, 1);
  assert_int_equal(als->live.users.data[0].len, 2); /* item 1 of the snapshot, and this one */
  assert_int_equal(als->live.item[0].len, 2);
  model->cls->forget(model, 0);
  model->cls->forget(model, 1);
  for (uint32_t i = 0; i < 2; i++) {
    assert_int_equal(als->live.users.data[i].len, 0);
    assert_int_equal(als->live.item[0].taker[i].user, WN_NO_IX);
  }
  send(model, 0, NEW, 1); /* nothing is known of her any more */
  assert_int_equal(als->live.item[0].len, 2);
  check_twins(model);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* The same events on a fitted and on a mapped model: the same bits. */
static void test_snapshot(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 36);
  char path[128];
  wn_model *fitted = fit(&wn_model_als, &data, "factors=8");
  save_to(fitted, scratch_path("live.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_als, path, &snapshot);
  wn_model *models[2] = {fitted, mapped};
  float scores[2][NEW + 1];
  for (int m = 0; m < 2; m++) {
    wn_history_entry history[3];
    wn_query query = query_of(9, history);
    for (uint32_t n = 0; n < 20; n++) {
      introduce(models[m], n);
      send(models[m], n, NEW - n % 3, 1);
    }
    assert_ok(models[m]->cls->score_all(models[m], &query, scores[m], NEW + 1, err));
  }
  assert_memory_equal(scores[0], scores[1], sizeof scores[0]);
  assert_true(scores[0][NEW] > -INFINITY);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  unlink(path);
  fitted->cls->free(fitted);
  wn_dataset_clear(&data);
}

/* Without memory an event is left out, and nothing else happens. */
static void test_no_memory(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 37);
  for (long fail = 0; fail < 60; fail++) {
    wn_model *model = fit(&wn_model_als, &data, "factors=4 epochs=1");
    introduce(model, 70);
    wn_mem_fail_after(fail);
    for (uint32_t n = 0; n < 6; n++) {
      introduce(model, 80 + n);
      send(model, 80 + n, NEW + n % 2, 1);
      if (n == 3) model->cls->forget(model, 70);
    }
    wn_mem_fail_after(-1);
    check_twins(model);
    send(model, 70, NEW, 1);
    check_twins(model);
    model->cls->free(model);
  }
  wn_dataset_clear(&data);
}

/* ---- attributes of items put since ---- */

static wn_status scan(void *ctx,
                      wn_status (*each)(void *, wn_item_ix, const wn_item_record *, wn_error *),
                      void *each_ctx, wn_error *err) {
  (void)ctx;
  for (uint32_t i = 0; i < ITEMS; i++) {
    wn_attr attr = {.name = WN_STR("kind"),
                    .kind = WN_ATTR_STRING,
                    .string = i % 2 ? WN_STR("odd") : WN_STR("even")};
    wn_item_record item = {.id = WN_STR("x"), .attrs = {&attr, 1}};
    wn_status status = each(each_ctx, i, &item, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static void put(wn_models *models, uint32_t ix, const char *kind) {
  wn_attr attr = {.name = WN_STR("kind"), .kind = WN_ATTR_STRING, .string = wn_str_of(kind)};
  wn_item_record item = {.id = WN_STR("n"), .attrs = {&attr, 1}};
  assert_ok(wn_models_update_item(models, ix, &item, err));
}

static void train_two(const wn_dataset *data, wn_models *models) {
  wn_train_options options;
  wn_train_options_defaults(&options);
  options.threads = 1;
  for (size_t i = 0; i < options.models_len; i++) {
    const char *name = options.models[i].cls->name;
    options.models[i].left_out = strcmp(name, "als") != 0 && strcmp(name, "content") != 0;
  }
  assert_ok(wn_train_options_set(&options, "als.factors=6", err));
  assert_ok(wn_train(data, &options, NULL, models, err));
}

/* A put gives an item a vector at once; takers then take over by n/(n + 10), in whatever order puts
 * and events came. */
static void test_put(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 38);
  data.items_source.scan = scan;
  static wn_models models[2];
  float got[2][6];
  for (int m = 0; m < 2; m++) {
    train_two(&data, &models[m]);
    wn_model *model = (wn_model *)(uintptr_t)wn_models_find(&models[m], "als");
    const wn_als *als = (const wn_als *)model;
    uint32_t d = 0;
    float prior[6];
    assert_null(model->cls->item_vector(model, NEW, &d));
    if (m == 0) put(&models[m], NEW, "odd");
    if (m == 0) memcpy(prior, model->cls->item_vector(model, NEW, &d), sizeof prior);
    if (m == 0) check_twins(model);
    for (uint32_t n = 0; n < 5; n++) {
      introduce(model, 90 + n);
      send(model, 90 + n, NEW, 1);
    }
    if (m == 1) put(&models[m], NEW, "odd");
    memcpy(got[m], model->cls->item_vector(model, NEW, &d), sizeof got[m]);
    const wn_als_live_item *item = &als->live.item[wn_als_live_at(als, NEW) - 1];
    for (uint32_t k = 0; k < 6 && m == 0; k++) {
      double v = (5 * (double)item->own[k] + 10 * (double)prior[k]) / 15;
      assert_true(fabs(v - (double)got[0][k]) < 1e-6);
    }
    check_twins(model);
    put(&models[m], NEW, "nobody knows"); /* nothing is known of it but its takers */
    const float *v = model->cls->item_vector(model, NEW, &d);
    for (uint32_t k = 0; k < 6; k++) assert_true(fabsf(v[k] - item->own[k]) < 1e-6f);
    put(&models[m], als->item_of[0], "even"); /* has events: stays as fitted */
    assert_int_equal(wn_als_live_at(als, als->item_of[0]), 0);
  }
  assert_memory_equal(got[0], got[1], sizeof got[0]);
  wn_models_clear(&models[0]);
  wn_models_clear(&models[1]);
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_new_item), cmocka_unit_test(test_proposed),
      cmocka_unit_test(test_stress),   cmocka_unit_test(test_forget),
      cmocka_unit_test(test_snapshot), cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_put),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
