/* Users without a history: their vectors come from what they say of themselves. */
#include "fitting.h"
#include "model/als.h"

#define USERS 60u
#define ITEMS 24u
#define WARM  48u /* the others have no events */

/* User u is of group u % 3, by four kinds of attributes at once; the last five say nothing. */
typedef struct people {
  unsigned backwards; /* the order of the scan */
} people;

typedef struct saying {
  char group[8];
  wn_str list[2];
  wn_attr attr[4];
  wn_attrs attrs;
} saying;

static void say(saying *s, uint32_t group) {
  snprintf(s->group, sizeof s->group, "g%u", group);
  s->list[0] = wn_str_of(s->group);
  s->list[1] = WN_STR("all");
  s->attr[0] = (wn_attr){.name = WN_STR("group"), .kind = WN_ATTR_STRING, .string = s->list[0]};
  s->attr[1] = (wn_attr){.name = WN_STR("number"), .kind = WN_ATTR_NUMBER, .number = group};
  s->attr[2] = (wn_attr){.name = WN_STR("first"), .kind = WN_ATTR_BOOL, .boolean = group == 0};
  s->attr[3] =
      (wn_attr){.name = WN_STR("likes"), .kind = WN_ATTR_LIST, .list = s->list, .list_len = 2};
  s->attrs = (wn_attrs){s->attr, 4};
}

static wn_status scan(void *ctx,
                      wn_status (*each)(void *, wn_user_ix, const wn_user_record *, wn_error *),
                      void *each_ctx, wn_error *err) {
  const people *p = ctx;
  for (uint32_t i = 0; i < USERS; i++) {
    uint32_t u = p->backwards ? USERS - 1 - i : i;
    saying s;
    say(&s, u % 3);
    wn_user_record user = {.id = WN_STR("u"), .attrs = {s.attr, u < USERS - 5 ? 4 : 0}};
    wn_status status = each(each_ctx, u, &user, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

/* Each takes items of her group, mostly. */
static void make_data(wn_dataset *data, people *p) {
  static fact facts[WARM * 6];
  wn_rng rng;
  size_t n = 0;
  wn_rng_seed(&rng, 5);
  for (uint32_t u = 0; u < WARM; u++) {
    size_t begin = n;
    for (uint32_t k = 0; k < 6; k++) {
      uint32_t item = 3 * (uint32_t)wn_rng_below(&rng, ITEMS / 3) + u % 3;
      if (k == 5) item = (uint32_t)wn_rng_below(&rng, ITEMS);
      bool again = false;
      for (size_t i = begin; i < n; i++) again |= facts[i].item == item;
      if (!again) facts[n++] = (fact){u, item, 1, k};
    }
  }
  dataset_of(facts, n, USERS, ITEMS, data);
  *p = (people){0};
  data->users_source = (wn_user_source){p, scan};
}

static size_t ask(const wn_model *model, wn_query *query, wn_scored *list, size_t k) {
  size_t count = 0;
  assert_ok(model->cls->candidates(model, query, k, list, &count, err));
  return count;
}

static void test_groups(void **state) {
  (void)state;
  wn_dataset data;
  people p;
  make_data(&data, &p);
  wn_model *model = fit(&wn_model_als, &data, "factors=12 user_attr_lambda=1");
  wn_scored list[ITEMS];
  for (uint32_t kind = 0; kind < 5; kind++) { /* each kind of attribute alone, then all */
    for (uint32_t g = 0; g < 3; g++) {
      saying s;
      say(&s, g);
      wn_attrs attrs = kind < 4 ? (wn_attrs){&s.attr[kind], 1} : s.attrs;
      wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .user_attrs = &attrs};
      assert_int_equal(ask(model, &query, list, 6), 6);
      if (kind == 2 && g != 0) continue; /* tells one group from the two others */
      for (size_t i = 0; i < 6; i++) assert_int_equal(list[i].ix % 3, g);
      assert_twins(model, &query, ITEMS);
    }
  }
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* A history, an anchor and values that nobody has go before, or say nothing. */
static void test_who_speaks(void **state) {
  (void)state;
  wn_dataset data;
  people p;
  make_data(&data, &p);
  wn_model *model = fit(&wn_model_als, &data, "factors=12");
  wn_scored list[ITEMS], other[ITEMS];
  wn_history_entry history[WN_HISTORY_MAX];
  saying s;
  say(&s, 1);
  wn_query query = {.history = history, .user = 0, .anchor = WN_NO_IX, .user_attrs = &s.attrs};
  query.history_len = history_of(&data, 0, WN_HISTORY_MAX, history);
  size_t n = ask(model, &query, list, ITEMS);
  query.user_attrs = NULL;
  assert_int_equal(ask(model, &query, other, ITEMS), n);
  assert_memory_equal(list, other, n * sizeof *list);
  query.history_len = 0;
  assert_int_equal(ask(model, &query, list, ITEMS), 0); /* neither */
  query.anchor = 3;
  n = ask(model, &query, list, ITEMS);
  query.user_attrs = &s.attrs;
  assert_int_equal(ask(model, &query, other, ITEMS), n);
  assert_memory_equal(list, other, n * sizeof *list);
  query.anchor = WN_NO_IX;
  say(&s, 77); /* "all" is known of group 77, too, and `first` is false as for two groups */
  wn_attrs unknown = {s.attr, 2};
  query.user_attrs = &unknown;
  assert_int_equal(ask(model, &query, list, ITEMS), 0);
  query.user_attrs = &(wn_attrs){NULL, 0};
  assert_int_equal(ask(model, &query, list, ITEMS), 0);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* Neither threads nor the order of the scan change a bit; a mapped model is the fitted one. */
static void test_same(void **state) {
  (void)state;
  wn_dataset data;
  people p;
  make_data(&data, &p);
  char path[128];
  wn_model *one = fit_threads(&wn_model_als, &data, "factors=40", 1);
  p.backwards = 1;
  wn_model *three = fit_threads(&wn_model_als, &data, "factors=40", 3);
  assert_same_model(one, three);
  save_to(one, scratch_path("users.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_als, path, &snapshot);
  assert_same_model(one, mapped);
  assert_true(((wn_als *)mapped)->head.user_terms > 5);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  wn_als *als = (wn_als *)three;
  ((uint64_t *)(uintptr_t)als->user_term)[2] = als->user_term[1]; /* twice */
  save_to(three, path);
  assert_ok(wn_snapshot_open(path, &snapshot, err));
  wn_error error = {0};
  assert_int_equal(wn_model_als.map(snapshot, &mapped, &error), WN_E_CORRUPT);
  assert_string_equal(error.field, "als/user_term");
  wn_snapshot_unref(snapshot);
  unlink(path);
  one->cls->free(one);
  three->cls->free(three);
  wn_dataset_clear(&data);
}

/* Not asked for, or nobody says anything: no sections, the rest as it was. */
static void test_none(void **state) {
  (void)state;
  wn_dataset data;
  people p;
  make_data(&data, &p);
  wn_model *with = fit(&wn_model_als, &data, "factors=8");
  wn_model *off = fit(&wn_model_als, &data, "factors=8 user_attr_lambda=0");
  data.users_source.scan = NULL;
  wn_model *plain = fit(&wn_model_als, &data, "factors=8");
  assert_int_equal(((wn_als *)off)->head.user_terms, 0);
  assert_same_model(off, plain);
  assert_memory_equal(((wn_als *)with)->item, ((wn_als *)off)->item,
                      ((wn_als *)off)->head.rows * 8 * sizeof(float));
  with->cls->free(with);
  off->cls->free(off);
  plain->cls->free(plain);
  wn_dataset_clear(&data);
}

static void test_no_memory(void **state) {
  (void)state;
  wn_dataset data;
  people p;
  make_data(&data, &p);
  check_no_memory(&wn_model_als, &data, "factors=4 epochs=1");
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_groups), cmocka_unit_test(test_who_speaks), cmocka_unit_test(test_same),
      cmocka_unit_test(test_none),   cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
