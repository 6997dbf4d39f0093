/* als through an index: the same slates as by scanning, from a start, after a swap, and with what
 * events teach meanwhile. The world is small enough for the index to be exact. */
#include "engine_fixture.h"
#include "serve/retrieval.h"

#define SURFACES                                                                                   \
  "surfaces:\n"                                                                                    \
  "  mine: {flavour: personal, retrieve: [{model: als, quota: 12}], fallback: [],"                 \
  " score: {normalise: none}}\n"                                                                   \
  "  near: {flavour: flat, retrieve: [{model: als, quota: 12}], fallback: [],"                     \
  " score: {normalise: none}}\n"

static const char *const scanning = SURFACES "server: {index_items_min: 1000}\n";
static const char *const indexed = SURFACES "server: {index_items_min: 1}\n";

typedef struct view {
  size_t len[12];
  wn_item_ix items[12][12];
  float scores[12][12];
  size_t users_len;
  char users[10][16];
} view;

static void look(world *w, view *v) {
  wn_error err = {0};
  wn_arena arena;
  wn_neighbour_list users;
  for (int i = 0; i < 12; i++) {
    char name[16];
    snprintf(name, sizeof name, "%c%d", i % 2 == 0 ? 'u' : 'i', i);
    slate s = i % 2 == 0 ? ask(w, "mine", name, NULL, 12) : ask(w, "near", NULL, name, 12);
    v->len[i] = s.answer.len;
    for (size_t k = 0; k < s.answer.len; k++) {
      v->items[i][k] = s.answer.items[k].ix;
      v->scores[i][k] = (float)s.answer.items[k].score;
    }
    slate_clear(&s);
  }
  wn_arena_init(&arena, ARENA);
  assert_ok(wn_engine_similar_users(w->engine, WN_STR("u3"), 10, &arena, &users, &err));
  v->users_len = users.len;
  for (size_t i = 0; i < users.len; i++)
    snprintf(v->users[i], sizeof v->users[i], "%.*s", WN_STR_ARG(users.data[i].id));
  wn_arena_clear(&arena);
}

static void same(const view *a, const view *b) {
  for (int i = 0; i < 12; i++) {
    assert_int_equal(a->len[i], b->len[i]);
    assert_true(a->len[i] > 5);
    for (size_t k = 0; k < a->len[i]; k++) {
      assert_int_equal(a->items[i][k], b->items[i][k]);
      assert_true(fabsf(a->scores[i][k] - b->scores[i][k]) <= 1e-5f);
    }
  }
  assert_int_equal(a->users_len, b->users_len);
  for (size_t i = 0; i < a->users_len; i++) assert_string_equal(a->users[i], b->users[i]);
}

static wn_engine_stats stats_of(world *w) {
  wn_engine_stats stats;
  wn_engine_stats_get(w->engine, &stats);
  return stats;
}

static void refresh(world *w, bool swaps) {
  wn_error err = {0};
  bool swapped;
  assert_ok(wn_engine_refresh(w->engine, &swapped, &err));
  assert_int_equal(swapped, swaps);
}

static void teach(world *w) {
  char user[16];
  for (int i = 0; i < 24; i++) {
    snprintf(user, sizeof user, "u%d", 20 + i % 12);
    event(w, user, i % 3 == 0 ? "new" : "new too", "view");
  }
}

/* What a world that opens with `yaml` shows now. */
static view reopened(world *w, const char *yaml) {
  view v;
  world_close(w);
  world_open_as(w, yaml);
  refresh(w, false);
  look(w, &v);
  return v;
}

static void test_same_slates(void **state) {
  (void)state;
  world w;
  view scan, index, live;
  world_ready(&w, scanning);
  refresh(&w, false);
  assert_int_equal(stats_of(&w).index_items, 0);
  look(&w, &scan);
  index = reopened(&w, indexed);
  wn_engine_stats stats = stats_of(&w);
  assert_true(stats.index_items > ITEMS / 2);
  assert_true(stats.index_recall > .99 && stats.index_bytes > ITEMS * 8 * sizeof(float));
  assert_int_equal(stats.index_changes, 0);
  same(&scan, &index);
  /* Items that events make known come into the index as they learn; a scan after a restart says
   * the same, and so does an index that gets them when it is attached. */
  teach(&w);
  assert_true(stats_of(&w).index_changes > 0);
  assert_int_equal(stats_of(&w).index_items, stats.index_items + 2);
  look(&w, &live);
  scan = reopened(&w, scanning);
  same(&scan, &live);
  index = reopened(&w, indexed);
  assert_int_equal(stats_of(&w).index_items, stats.index_items + 2);
  same(&scan, &index);
  world_remove(&w);
}

static void test_swap(void **state) {
  (void)state;
  world w;
  view scan, index;
  world_ready(&w, indexed);
  refresh(&w, false);
  teach(&w);
  world_train(&w, true);
  event(&w, "u5", "newer", "view");
  event(&w, "u7", "newer", "view");
  refresh(&w, true);
  assert_int_equal(stats_of(&w).snapshot, 2);
  assert_true(stats_of(&w).index_items > 0);
  look(&w, &index);
  scan = reopened(&w, scanning);
  same(&scan, &index);
  world_remove(&w);
}

/* Who closes need not wait for an index: it is given up, and the model scans. */
static void test_hurry(void **state) {
  (void)state;
  world w;
  view scan, still;
  world_ready(&w, scanning);
  look(&w, &scan);
  world_close(&w);
  world_open_as(&w, indexed);
  wn_engine_hurry(w.engine);
  refresh(&w, false);
  assert_int_equal(stats_of(&w).index_items, 0);
  look(&w, &still);
  same(&scan, &still);
  world_remove(&w);
}

static const char *const sections[] = {"index/rows", "index/items", "index/alike", "index/users"};

static wn_status write_nonsense(const void *ctx, const wn_models *models,
                                const wn_progress *progress WN_UNUSED, wn_snapshot_writer *writer,
                                wn_error *err) {
  wn_status status = WN_OK;
  const wn_als *als = (const wn_als *)wn_models_find(models, "als");
  float *rows = calloc((size_t)als->head.items * als->head.d, sizeof *rows);
  assert_non_null(rows);
  for (int i = *(const int *)ctx; i < 4 && status == WN_OK; i++) {
    size_t bytes = i == 0 ? (size_t)als->head.items * als->head.d * sizeof *rows : 5;
    status =
        wn_snapshot_write(writer, sections[i], i == 0 ? (const void *)rows : "index", bytes, err);
  }
  free(rows);
  return status;
}

/* Training puts the index into the snapshot: a server maps it and builds nothing, which one that is
 * in a hurry shows. Sections that are missing or of no use are built afresh. */
static void test_in_snapshot(void **state) {
  (void)state;
  world w;
  view scan, index;
  const wn_retrieval_options options = {.items_min = 1}, none = {.items_min = 1000000};
  world_ready(&w, scanning);
  world_train_with(&w, true, (wn_train_extra){&options, wn_retrieval_write});
  scan = reopened(&w, scanning);
  assert_int_equal(stats_of(&w).index_items, 0);
  world_close(&w);
  world_open_as(&w, indexed);
  wn_engine_hurry(w.engine);
  refresh(&w, false);
  assert_true(stats_of(&w).index_items > ITEMS / 2);
  assert_true(stats_of(&w).index_bytes < ITEMS * 8 * sizeof(float)); /* the rest is mapped */
  look(&w, &index);
  same(&scan, &index);
  teach(&w);
  look(&w, &index);
  scan = reopened(&w, scanning);
  same(&scan, &index);
  const int from[] = {0, 1};
  for (int i = 0; i < 3; i++) { /* nonsense; rows missing beside; nothing */
    wn_train_extra extra = {i < 2 ? (const void *)&from[i] : &none,
                            i < 2 ? write_nonsense : wn_retrieval_write};
    world_train_with(&w, true, extra);
    scan = reopened(&w, scanning);
    index = reopened(&w, indexed);
    assert_true(stats_of(&w).index_items > ITEMS / 2);
    same(&scan, &index);
  }
  world_remove(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_slates),
      cmocka_unit_test(test_swap),
      cmocka_unit_test(test_hurry),
      cmocka_unit_test(test_in_snapshot),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
