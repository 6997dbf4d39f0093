/* Vectors from attributes: the regression against a dense twin, cold items in lists, snapshots. */
#include "fitting.h"
#include "model/als.h"
#include "model/content.h"

#define USERS 50u
#define WARM  40u /* the others have no events */
#define ITEMS 55u

typedef struct catalogue {
  uint32_t len;
  bool silent; /* items say nothing about themselves */
} catalogue;

/* Item i belongs to group i % 4 and to one of seven kinds; the last ones to neither. */
static wn_status scan(void *ctx,
                      wn_status (*each)(void *, wn_item_ix, const wn_item_record *, wn_error *),
                      void *each_ctx, wn_error *err) {
  const catalogue *c = ctx;
  for (uint32_t i = 0; i < c->len; i++) {
    char group[16], kind[16];
    snprintf(group, sizeof group, "g%u", i % 4);
    snprintf(kind, sizeof kind, "k%u", i % 7);
    wn_attr attrs[2] = {
        {.name = WN_STR("group"), .kind = WN_ATTR_STRING, .string = wn_str_of(group)},
        {.name = WN_STR("kind"), .kind = WN_ATTR_STRING, .string = wn_str_of(kind)}};
    bool says = !c->silent && i < ITEMS - 3;
    wn_item_record item = {.id = WN_STR("x"), .attrs = {attrs, says ? 2 : 0}};
    wn_status status = each(each_ctx, i, &item, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

/* Users like the items of one group. */
static void make_data(wn_dataset *data, catalogue *c) {
  static fact facts[USERS * 12];
  wn_rng rng;
  size_t n = 0;
  wn_rng_seed(&rng, 3);
  for (uint32_t u = 0; u < USERS; u++) {
    for (uint32_t k = 0; k < 10; k++) {
      uint32_t item = 4 * (uint32_t)wn_rng_below(&rng, WARM / 4) + u % 4;
      if (k > 7) item = (uint32_t)wn_rng_below(&rng, WARM);
      bool again = false;
      for (size_t i = n; i-- > 0 && facts[i].user == u;) again |= facts[i].item == item;
      if (!again) facts[n++] = (fact){u, item, 1, k};
    }
  }
  dataset_of(facts, n, USERS, ITEMS, data);
  *c = (catalogue){.len = ITEMS};
  data->items_source = (wn_item_source){c, scan};
}

static uint32_t events_of(const wn_dataset *data, uint32_t i) {
  return (uint32_t)(data->by_item.row_ptr[i + 1] - data->by_item.row_ptr[i]);
}

/* M of one column, by Gauss–Seidel on the dense normal equations, to convergence. */
static void naive_column(const wn_dataset *data, const wn_als *als, const double *x, uint32_t terms,
                         uint32_t column, double lambda, double *m) {
  double *A = wn_calloc((size_t)terms * terms, sizeof *A), *b = wn_calloc(terms, sizeof *b);
  for (uint32_t t = 0; t < terms; t++) A[t * terms + t] = lambda;
  for (uint32_t i = 0; i < ITEMS; i++) {
    double p = fmin(50, events_of(data, i));
    if (p == 0) continue;
    double v = (double)als->item[als->row_of[i] * als->head.d + column];
    for (uint32_t s = 0; s < terms; s++) {
      b[s] += p * x[i * terms + s] * v;
      for (uint32_t t = 0; t < terms; t++) {
        A[s * terms + t] += p * x[i * terms + s] * x[i * terms + t];
      }
    }
  }
  for (uint32_t t = 0; t < terms; t++) m[t] = 0;
  for (int sweep = 0; sweep < 2000; sweep++) {
    for (uint32_t s = 0; s < terms; s++) {
      double r = b[s];
      for (uint32_t t = 0; t < terms; t++) r -= t != s ? A[s * terms + t] * m[t] : 0;
      m[s] = r / A[s * terms + s];
    }
  }
  wn_free(A);
  wn_free(b);
}

static void test_regression(void **state) {
  (void)state;
  wn_dataset data;
  catalogue c;
  make_data(&data, &c);
  wn_model *model = fit(&wn_model_als, &data, "factors=35 attr_lambda=2 cold_scale=.5");
  wn_model *content = fit(&wn_model_content, &data, "");
  const wn_als *als = (const wn_als *)model;
  uint32_t terms = als->head.attr_terms;
  assert_int_equal(terms, ((wn_content *)content)->head.terms);
  assert_int_equal(terms, 4 + 7);
  double *x = wn_calloc((size_t)ITEMS * terms, sizeof *x), *m = wn_calloc(terms, sizeof *m);
  for (uint32_t i = 0; i < ITEMS; i++) {
    wn_term_weight v[WN_CONTENT_TERMS_MAX];
    size_t len = wn_content_vector_of((wn_content *)content, i, v);
    for (size_t k = 0; k < len; k++) x[i * terms + v[k].term] = (double)v[k].weight;
  }
  double worst = 0, largest = 0;
  for (uint32_t k = 0; k < als->head.d; k++) {
    naive_column(&data, als, x, terms, k, 2, m);
    for (uint32_t i = WARM; i < ITEMS; i++) {
      double v = 0;
      for (uint32_t t = 0; t < terms; t++) v += .5 * m[t] * x[i * terms + t];
      uint32_t row = als->row_of[i];
      assert_true((row == WN_NO_IX) == (i >= ITEMS - 3));
      if (row == WN_NO_IX) continue;
      worst = fmax(worst, fabs(v - (double)als->item[row * als->head.d + k]));
      largest = fmax(largest, fabs(v));
    }
  }
  if (!(worst < 0.02 * largest)) fail_msg("off by %g of %g", worst, largest);
  wn_free(x);
  wn_free(m);
  content->cls->free(content);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* A user of a group is offered the cold items of her group before the others. */
static void test_cold_items(void **state) {
  (void)state;
  wn_dataset data;
  catalogue c;
  make_data(&data, &c);
  wn_model *model = fit(&wn_model_als, &data, "factors=16");
  wn_bitset allowed;
  assert_true(wn_bitset_init(&allowed, ITEMS));
  for (uint32_t i = WARM; i < ITEMS; i++) wn_bitset_set(&allowed, i);
  for (uint32_t u = 0; u < 8; u++) {
    wn_history_entry history[WN_HISTORY_MAX];
    wn_query query = {.history = history,
                      .history_len = history_of(&data, u, WN_HISTORY_MAX, history),
                      .user = u,
                      .anchor = WN_NO_IX,
                      .allowed = &allowed};
    wn_scored list[ITEMS];
    size_t count = 0;
    assert_ok(model->cls->candidates(model, &query, ITEMS, list, &count, err));
    assert_int_equal(count, ITEMS - 3 - WARM);
    for (size_t i = 0; i < 3; i++) assert_int_equal(list[i].ix % 4, u % 4);
    query.allowed = NULL;
    assert_twins(model, &query, ITEMS);
  }
  wn_query query = {.user = WN_NO_IX, .anchor = WARM + 1};
  wn_scored list[5];
  size_t count = 0;
  assert_ok(model->cls->candidates(model, &query, 5, list, &count, err));
  assert_int_equal(count, 5);
  for (size_t i = 0; i < 3; i++) assert_int_equal(list[i].ix % 4, (WARM + 1) % 4);
  assert_twins(model, &query, ITEMS);
  uint32_t d;
  assert_non_null(model->cls->item_vector(model, WARM, &d));
  assert_null(model->cls->item_vector(model, ITEMS - 1, &d));
  wn_bitset_clear(&allowed);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* Without attributes, with lambda 0 and with silent items the model is what it was. */
static void test_none(void **state) {
  (void)state;
  wn_dataset data;
  catalogue c;
  make_data(&data, &c);
  wn_model *off = fit(&wn_model_als, &data, "factors=8 attr_lambda=0");
  c.silent = true;
  wn_model *silent = fit(&wn_model_als, &data, "factors=8");
  data.items_source.scan = NULL;
  wn_model *plain = fit(&wn_model_als, &data, "factors=8");
  const wn_als *models[3] = {(wn_als *)off, (wn_als *)silent, (wn_als *)plain};
  for (int m = 0; m < 3; m++) {
    assert_int_equal(models[m]->head.rows, models[m]->head.active);
    assert_int_equal(models[m]->head.attr_rows, 0);
    assert_memory_equal(models[m]->item, models[0]->item, models[0]->head.rows * 8 * sizeof(float));
  }
  off->cls->free(off);
  silent->cls->free(silent);
  plain->cls->free(plain);
  wn_dataset_clear(&data);
}

static void test_threads_and_snapshot(void **state) {
  (void)state;
  wn_dataset data;
  catalogue c;
  make_data(&data, &c);
  char path[128];
  wn_model *one = fit_threads(&wn_model_als, &data, "factors=70", 1);
  wn_model *three = fit_threads(&wn_model_als, &data, "factors=70", 3);
  assert_same_model(one, three);
  save_to(one, scratch_path("attr.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_als, path, &snapshot);
  assert_same_model(one, mapped);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  wn_als *als = (wn_als *)three;
  ((uint32_t *)(uintptr_t)als->attr_row_of)[1] = als->head.attr_rows; /* out of range */
  save_to(three, path);
  assert_ok(wn_snapshot_open(path, &snapshot, err));
  wn_error error = {0};
  assert_int_equal(wn_model_als.map(snapshot, &mapped, &error), WN_E_CORRUPT);
  assert_string_equal(error.field, "als/attr_row_of");
  wn_snapshot_unref(snapshot);
  unlink(path);
  one->cls->free(one);
  three->cls->free(three);
  wn_dataset_clear(&data);
}

static void test_no_memory(void **state) {
  (void)state;
  wn_dataset data;
  catalogue c;
  make_data(&data, &c);
  check_no_memory(&wn_model_als, &data, "factors=4 epochs=1");
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_regression), cmocka_unit_test(test_cold_items),
      cmocka_unit_test(test_none),       cmocka_unit_test(test_threads_and_snapshot),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
