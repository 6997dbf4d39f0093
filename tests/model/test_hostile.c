/* Data that nobody would make on purpose, through every model class by name: fitted, saved, mapped,
 * asked. What comes back must be items of the catalogue with finite scores, the same from the
 * fitted and the mapped model. */

#include "fitting.h"
#include "base/file.h"
#include "model/train.h"

#include <sys/mman.h>

#define NOW 1700000000000LL

static size_t events_max;
static wn_event *events;
static size_t len;
static wn_signals signals;

static int setup(void **state) {
  (void)state;
  events_max = 1100000;
  events = wn_malloc(events_max * sizeof *events);
  wn_signals_add(&signals, WN_STR("view"));
  wn_signals_add(&signals, WN_STR("dislike"));
  wn_signals_add(&signals, WN_STR("huge"));
  wn_signals_add(&signals, WN_STR("tiny"));
  signals.data[1].weight = -1;
  signals.data[2].weight = 1000;
  signals.data[3].weight = 1e-6f;
  return events == NULL;
}

static int teardown(void **state) {
  wn_free(events);
  return remove_scratch(state);
}

static void add(uint32_t user, uint32_t item, uint32_t type) {
  assert_true(len < events_max);
  events[len] = (wn_event){user, item, type, NAN, NOW + (int64_t)len * 1000, len + 1};
  len++;
}

/* --- the worlds --- */

static void one_of_each(void) {
  add(0, 0, 0);
}

static void one_user(void) {
  for (uint32_t i = 0; i < 50; i++) add(0, i, 0);
}

static void one_item(void) {
  for (uint32_t u = 0; u < 50; u++) add(u, 0, 0);
}

static void everybody_everything(void) {
  for (uint32_t u = 0; u < 30; u++)
    for (uint32_t i = 0; i < 20; i++) add(u, i, 0);
}

static void dislikes_alone(void) {
  for (uint32_t n = 0; n < 400; n++) add(n % 30, n * 7 % 20, 1);
}

static void likes_and_dislikes_that_cancel(void) {
  for (uint32_t n = 0; n < 400; n++) add(n % 30, n * 7 % 20, n / 200);
}

static void empty_rows(void) {
  for (uint32_t n = 0; n < 200; n++) add(3 + n % 5 * 6, 1 + n * 11 % 6 * 3, 0);
  add(99, 59, 1);
}

static void nothing(void) {}

static void one_time(void) {
  for (uint32_t n = 0; n < 300; n++) {
    add(n % 17, n * 13 % 29, 0);
    events[len - 1].time_ms = NOW;
  }
}

static void all_of_time(void) {
  for (uint32_t n = 0; n < 300; n++) {
    add(n % 17, n * 13 % 29, 0);
    events[len - 1].time_ms = n % 3 == 0 ? 0 : n % 3 == 1 ? 7258118400000LL : NOW;
  }
}

static void weights_of_all_sizes(void) {
  for (uint32_t n = 0; n < 600; n++) add(n % 23, n * 13 % 31, n % 7 == 0 ? 2 : n % 5 == 0 ? 3 : 0);
}

static void a_million_events_of_one_user(void) {
  for (uint32_t n = 0; n < 1000000; n++) add(0, n * 31 % 400, 0);
  for (uint32_t n = 0; n < 200; n++) add(1 + n % 20, n * 7 % 400, 0);
}

/* More than ridge and als take of one (1,000). */
static void a_user_with_very_many_items(void) {
  for (uint32_t n = 0; n < 1200; n++) add(0, n, 0);
  for (uint32_t n = 0; n < 300; n++) add(1 + n % 20, n * 97 % 1200, 0);
}

static const struct world {
  const char *name;
  void (*fill)(void);
  uint32_t users, items; /* at least */
} worlds[] = {
    {"one user, one item", one_of_each, 0, 0},
    {"one user", one_user, 0, 0},
    {"one item", one_item, 0, 0},
    {"everybody everything, equal weights", everybody_everything, 0, 0},
    {"dislikes alone", dislikes_alone, 0, 0},
    {"likes and dislikes that cancel", likes_and_dislikes_that_cancel, 0, 0},
    {"empty rows", empty_rows, 100, 80},
    {"no events", nothing, 3, 4},
    {"neither users nor items", nothing, 0, 0},
    {"one time", one_time, 0, 0},
    {"all of time", all_of_time, 0, 0},
    {"weights of all sizes", weights_of_all_sizes, 0, 0},
    {"a million events of one user", a_million_events_of_one_user, 0, 0},
    {"a user with very many items", a_user_with_very_many_items, 0, 0},
};

/* --- asking --- */

enum { K = 40 };

static void same_lists(const wn_model *fitted, const wn_model *mapped, const wn_query *query,
                       uint32_t items) {
  wn_scored a[K], b[K];
  size_t a_len = 0, b_len = 0;
  assert_ok(fitted->cls->candidates(fitted, query, K, a, &a_len, err));
  assert_ok(mapped->cls->candidates(mapped, query, K, b, &b_len, err));
  assert_int_equal(a_len, b_len);
  for (size_t i = 0; i < a_len; i++) {
    if (a[i].ix >= items || !isfinite(a[i].score) || a[i].ix != b[i].ix || a[i].score != b[i].score)
      fail_msg("%s: place %zu: %u %g, mapped %u %g, of %u items", fitted->cls->name, i, a[i].ix,
               (double)a[i].score, b[i].ix, (double)b[i].score, items);
    if (i > 0) assert_true(a[i].score <= a[i - 1].score);
  }
}

static void ask(const wn_model *fitted, const wn_model *mapped, const wn_dataset *data) {
  static wn_history_entry history[6000];
  const wn_history_entry unknown[] = {{data->items, 1, NOW}, {UINT32_MAX - 1, 2, NOW}};
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .now_ms = data->now_ms};
  same_lists(fitted, mapped, &query, data->items);
  query.history = unknown;
  query.history_len = 2;
  same_lists(fitted, mapped, &query, data->items);
  query.history = history;
  for (uint32_t u = 0; u < data->users; u += 1 + data->users / 4) {
    query.user = u;
    query.history_len = history_of(data, u, 6000, history);
    same_lists(fitted, mapped, &query, data->items);
  }
  query.anchor = 0;
  wn_scored like[K], list[K];
  size_t like_len = 0, len_ = 0;
  assert_true((fitted->cls->similar != NULL) == ((fitted->cls->flags & WN_MODEL_ANCHOR) != 0));
  if (fitted->cls->similar != NULL) /* whatever the history */
    assert_ok(mapped->cls->similar(mapped, &query, K, like, &like_len, err));
  query.history_len = 0;
  query.user = WN_NO_IX;
  same_lists(fitted, mapped, &query, data->items);
  if (fitted->cls->similar == NULL) return;
  assert_ok(fitted->cls->candidates(fitted, &query, K, list, &len_, err));
  assert_int_equal(like_len, len_);
  if (len_ > 0) assert_memory_equal(like, list, len_ * sizeof *list);
}

/* --- fitting --- */

static wn_train_options all_models(void) {
  wn_train_options options;
  wn_train_options_defaults(&options);
  options.threads = 2;
  for (size_t m = 0; m < options.models_len; m++) {
    options.models[m].left_out = false;
    if (strcmp(options.models[m].cls->name, "als") == 0)
      options.models[m].params = params_of(options.models[m].cls, "factors=16 epochs=3");
  }
  return options;
}

static wn_snapshot *saved(const wn_models *models, const wn_dataset *data) {
  const wn_snapshot_about about = {.number = 1, .users = data->users, .items = data->items};
  char path[200];
  wn_snapshot_writer *writer = NULL;
  wn_snapshot *snapshot = NULL;
  scratch_path("hostile.wns", path, sizeof path);
  assert_ok(wn_snapshot_writer_create(path, &writer, err));
  assert_ok(wn_models_save(models, writer, err));
  assert_ok(wn_snapshot_writer_finish(writer, &about, err));
  assert_ok(wn_snapshot_open(path, &snapshot, err));
  unlink(path);
  return snapshot;
}

static void try_world(const struct world *world) {
  wn_dataset data;
  wn_models fitted, mapped;
  wn_train_options options = all_models();
  len = 0;
  world->fill();
  assert_ok(wn_dataset_build_events((wn_event_list){events, len}, &signals, world->users,
                                    world->items, &data, err));
  wn_error why = {0};
  if (wn_train(&data, &options, NULL, &fitted, &why) != WN_OK)
    fail_msg("%s: %s", world->name, why.message);
  assert_int_equal(fitted.len, wn_model_class_count());
  wn_snapshot *snapshot = saved(&fitted, &data);
  assert_ok(wn_models_map(snapshot, &mapped, err));
  assert_int_equal(mapped.len, fitted.len);
  for (size_t m = 0; m < fitted.len; m++) ask(fitted.data[m], mapped.data[m], &data);
  wn_models_clear(&fitted);
  wn_models_clear(&mapped);
  wn_snapshot_unref(snapshot);
  wn_dataset_clear(&data);
}

static void every_world_through_every_model(void **state) {
  (void)state;
  for (size_t w = 0; w < sizeof worlds / sizeof *worlds; w++) {
    uint64_t start = wn_mono_ns();
    print_message("%s\n", worlds[w].name);
    try_world(&worlds[w]);
    print_message("  %.1f s\n", (double)(wn_mono_ns() - start) * 1e-9);
  }
}

/* --- beyond 2³¹ interactions --- */

#define BEYOND (((uint64_t)1 << 31) + 12345)

/* `bytes` of `from` at element BEYOND of an array whose other pages stay untouched. */
static void *far_away(const void *from, size_t count, size_t size, size_t *mapped) {
  *mapped = (size_t)(BEYOND + count) * size;
  char *at = mmap(NULL, *mapped, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return NULL;
  if (count > 0) memcpy(at + BEYOND * size, from, count * size);
  return at;
}

typedef struct far_csr {
  wn_csr csr;
  size_t bytes[4];
} far_csr;

static bool far_of(const wn_csr *from, far_csr *out) {
  size_t n = (size_t)from->nnz;
  out->csr = *from;
  out->csr.nnz = BEYOND + n;
  out->csr.row_ptr = wn_calloc((size_t)from->rows + 1, sizeof(uint64_t));
  for (size_t r = 0; r <= from->rows; r++) out->csr.row_ptr[r] = from->row_ptr[r] + BEYOND;
  out->csr.col = far_away(from->col, n, sizeof(uint32_t), &out->bytes[0]);
  out->csr.weight = far_away(from->weight, n, sizeof(float), &out->bytes[1]);
  if (from->time_ms != NULL)
    out->csr.time_ms = far_away(from->time_ms, n, sizeof(int64_t), &out->bytes[2]);
  if (from->type != NULL) out->csr.type = far_away(from->type, n, 1, &out->bytes[3]);
  return out->csr.col != NULL && out->csr.weight != NULL &&
         (out->csr.time_ms != NULL) == (from->time_ms != NULL) &&
         (out->csr.type != NULL) == (from->type != NULL);
}

static void far_clear(far_csr *far) {
  wn_free(far->csr.row_ptr);
  if (far->csr.col != NULL) munmap(far->csr.col, far->bytes[0]);
  if (far->csr.weight != NULL) munmap(far->csr.weight, far->bytes[1]);
  if (far->csr.time_ms != NULL) munmap(far->csr.time_ms, far->bytes[2]);
  if (far->csr.type != NULL) munmap(far->csr.type, far->bytes[3]);
}

/* The same rows at offsets above 2³¹ give the same model: an offset that is cut to 32 bits reads
 * other pages. What lies before the rows are pairs of weight 0 that no row holds; classes that run
 * over all pairs take a while to pass them, and are tried with WINNOW_TEST_SLOW alone. */
static void offsets_have_64_bits(void **state) {
  (void)state;
  static const char *const runs_over_all[] = {"popular", "covisit", "als", "blend", "ranker"};
  wn_dataset near, far;
  far_csr by_user = {0}, by_item = {0};
  wn_pool *pool = wn_pool_create(2);
  len = 0;
  weights_of_all_sizes();
  assert_ok(wn_dataset_build_events((wn_event_list){events, len}, &signals, 0, 0, &near, err));
  far = near;
  bool room = far_of(&near.by_user, &by_user) && far_of(&near.by_item, &by_item);
  far.by_user = by_user.csr;
  far.by_item = by_item.csr;
  for (size_t c = 0; room && c < wn_model_class_count(); c++) {
    const wn_model_class *cls = wn_model_class_at(c);
    wn_params params = params_of(cls, "");
    wn_fit_env env = {.pool = pool, .seed = 7};
    wn_model *a = NULL, *b = NULL;
    bool slow = false;
    for (size_t i = 0; i < sizeof runs_over_all / sizeof *runs_over_all; i++)
      slow |= strcmp(runs_over_all[i], cls->name) == 0;
    if (slow && getenv("WINNOW_TEST_SLOW") == NULL) continue;
    assert_ok(cls->fit(&near, &params, &env, &a, err));
    assert_ok(cls->fit(&far, &params, &env, &b, err));
    assert_same_model(a, b);
    cls->free(a);
    cls->free(b);
  }
  far_clear(&by_user);
  far_clear(&by_item);
  wn_dataset_clear(&near);
  wn_pool_free(pool);
  if (!room) skip();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_world_through_every_model),
      cmocka_unit_test(offsets_have_64_bits),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
