/* The catalogue in memory beside a naive twin: under any sequence of changes both say the same. */
#include "store_testing.h"

#include "store/catalog_internal.h"

#define ITEMS 600
#define NAMES 6

static const char *const names[NAMES] = {"category", "price", "adult", "tags", "mixed", "rare"};

/* One attribute of one item as a text: "s:red", "n:1.5", "b:1", "l:a,b". Empty: lacks it. */
typedef struct twin_item {
  bool known;
  wn_item_status status;
  int64_t created_ms;
  char title[40];
  char attrs[NAMES][64];
} twin_item;

typedef struct twin {
  twin_item items[ITEMS];
  uint32_t count;
} twin;

static twin shadow;

/* A record drawn at random, with its strings, and the twin's view of it. */
typedef struct draft {
  wn_attr attrs[NAMES];
  wn_str lists[NAMES][4];
  char words[NAMES][4][16];
  char title[40];
  wn_item_record record;
  twin_item expected;
} draft;

static void draw_attr(draft *d, int name, wn_attr_kind kind, wn_rng *rng) {
  wn_attr *attr = &d->attrs[d->record.attrs.len++];
  char *out = d->expected.attrs[name];
  *attr = (wn_attr){.name = wn_str_of(names[name]), .kind = kind};
  for (int i = 0; i < 4; i++) {
    snprintf(d->words[name][i], 16, "w%d", (int)wn_rng_below(rng, 50));
    d->lists[name][i] = wn_str_of(d->words[name][i]);
  }
  switch (kind) {
  case WN_ATTR_STRING:
    attr->string = d->lists[name][0];
    snprintf(out, 64, "s:%s", d->words[name][0]);
    break;
  case WN_ATTR_NUMBER:
    attr->number = (double)wn_rng_below(rng, 100) / 4;
    snprintf(out, 64, "n:%g", attr->number);
    break;
  case WN_ATTR_BOOL:
    attr->boolean = wn_rng_below(rng, 2) == 1;
    snprintf(out, 64, "b:%d", attr->boolean);
    break;
  case WN_ATTR_LIST:
    attr->list = d->lists[name];
    attr->list_len = wn_rng_below(rng, 5);
    int at = snprintf(out, 64, "l:");
    for (size_t i = 0; i < attr->list_len; i++) {
      at += snprintf(out + at, 64 - (size_t)at, "%s,", d->words[name][i]);
    }
    break;
  }
}

static void draw_item(draft *d, wn_rng *rng) {
  *d = (draft){.expected.known = true};
  if (wn_rng_below(rng, 4) > 0) {
    snprintf(d->title, sizeof d->title, "title %d %d", (int)wn_rng_below(rng, 1000000),
             (int)wn_rng_below(rng, 1000000));
  }
  d->record.title = d->title[0] != '\0' ? wn_str_of(d->title) : (wn_str){0};
  memcpy(d->expected.title, d->title, sizeof d->title);
  d->record.status = (wn_item_status)(wn_rng_below(rng, 5) % 3);
  d->record.created_ms = wn_rng_below(rng, 5) == 0 ? 0 : T0 + (int64_t)wn_rng_below(rng, 300);
  d->record.attrs.data = d->attrs;
  for (int i = 0; i < NAMES; i++) {
    if (wn_rng_below(rng, 3) == 0) continue;
    wn_attr_kind kind =
        i < 4 ? (wn_attr_kind[]){WN_ATTR_STRING, WN_ATTR_NUMBER, WN_ATTR_BOOL, WN_ATTR_LIST}[i]
              : (wn_attr_kind)wn_rng_below(rng, 4);
    draw_attr(d, i, kind, rng);
  }
}

static void twin_grow(wn_item_ix ix) {
  for (; shadow.count <= ix; shadow.count++)
    shadow.items[shadow.count] = (twin_item){.known = true};
}

static void twin_put(wn_item_ix ix, const draft *d) {
  bool known = ix < shadow.count;
  twin_grow(ix);
  twin_item before = shadow.items[ix];
  shadow.items[ix] = d->expected;
  shadow.items[ix].status = d->record.status;
  shadow.items[ix].created_ms = d->record.created_ms;
  if (d->record.created_ms == 0 && known && before.status != WN_ITEM_DELETED) {
    shadow.items[ix].created_ms = before.created_ms;
  }
}

static void cell_text(const wn_column *column, wn_cell cell, char out[64]) {
  out[0] = '\0';
  if (cell.kind == WN_ATTR_STRING + 1) {
    snprintf(out, 64, "s:%.*s", WN_STR_ARG(wn_dict_key(column->values, cell.code)));
  } else if (cell.kind == WN_ATTR_NUMBER + 1) {
    snprintf(out, 64, "n:%g", cell.u.number);
  } else if (cell.kind == WN_ATTR_BOOL + 1) {
    snprintf(out, 64, "b:%d", cell.boolean);
  } else if (cell.kind == WN_ATTR_LIST + 1) {
    int at = snprintf(out, 64, "l:");
    for (uint32_t i = 0; i < cell.u.list_len; i++) {
      wn_str word = wn_dict_key(column->values, column->codes[cell.code + i]);
      at += snprintf(out + at, 64 - (size_t)at, "%.*s,", WN_STR_ARG(word));
    }
  }
}

static void check_items(const wn_catalog *c) {
  assert_int_equal(wn_catalog_count(c), shadow.count);
  assert_int_equal(wn_catalog_servable(c)->bits, shadow.count);
  for (wn_item_ix i = 0; i < shadow.count; i++) {
    const twin_item *t = &shadow.items[i];
    wn_str title = wn_catalog_title(c, i);
    assert_true(title.ptr == NULL ? t->title[0] == '\0' : wn_str_is(title, t->title));
    assert_int_equal(wn_catalog_status(c, i), t->status);
    assert_int_equal(wn_catalog_created(c)[i], t->created_ms);
    assert_int_equal(wn_bitset_test(wn_catalog_servable(c), i), t->status == WN_ITEM_ACTIVE);
    for (int a = 0; a < NAMES; a++) {
      char text[64] = "";
      const wn_column *column = wn_catalog_column(c, wn_str_of(names[a]));
      if (column != NULL) cell_text(column, column->cells[i], text);
      assert_string_equal(text, t->attrs[a]);
    }
  }
}

static int newer_first(const void *a, const void *b) {
  wn_item_ix x = *(const wn_item_ix *)a, y = *(const wn_item_ix *)b;
  int64_t s = shadow.items[x].created_ms, t = shadow.items[y].created_ms;
  return s != t ? (s > t ? -1 : 1) : x > y ? -1 : 1;
}

static void check_newest(const wn_catalog *c, const wn_bitset *allowed, size_t k) {
  static wn_item_ix expected[ITEMS], got[ITEMS];
  size_t n = 0;
  for (wn_item_ix i = 0; i < shadow.count; i++) {
    bool in =
        shadow.items[i].status == WN_ITEM_ACTIVE && (allowed == NULL || wn_bitset_test(allowed, i));
    if (in) expected[n++] = i;
  }
  qsort(expected, n, sizeof *expected, newer_first);
  size_t len = wn_catalog_newest(c, allowed, k, got);
  assert_int_equal(len, n < k ? n : k);
  if (len > 0) assert_memory_equal(got, expected, len * sizeof *got);
}

static void check_newest_somehow(const wn_catalog *c, wn_rng *rng) {
  wn_bitset allowed;
  uint64_t one_in = 1 + wn_rng_below(rng, 20);
  assert_true(wn_bitset_init(&allowed, shadow.count));
  for (wn_item_ix i = 0; i < shadow.count; i++) {
    if (wn_rng_below(rng, one_in) == 0) wn_bitset_set(&allowed, i);
  }
  check_newest(c, &allowed, wn_rng_below(rng, ITEMS));
  check_newest(c, NULL, 10);
  check_newest(c, NULL, 0);
  wn_bitset_clear(&allowed);
}

static void mark_changed(void *ctx, wn_item_ix ix) {
  ((bool *)ctx)[ix] = true;
}

static void random_change(wn_catalog *c, wn_rng *rng, bool *changed) {
  wn_error err;
  draft d;
  wn_item_ix ix = (wn_item_ix)wn_rng_below(rng, ITEMS);
  if (ix > shadow.count) ix = shadow.count + (wn_item_ix)wn_rng_below(rng, 3);
  if (ix >= ITEMS) ix = ITEMS - 1;
  uint32_t before = shadow.count;
  switch (wn_rng_below(rng, 4)) {
  case 0:
    if (ix < shadow.count) {
      wn_item_status status = (wn_item_status)wn_rng_below(rng, 3);
      changed[ix] |= shadow.items[ix].status != status;
      shadow.items[ix].status = status;
      wn_catalog_set_status(c, ix, status);
    }
    break;
  case 1:
    assert_ok(wn_catalog_touch(c, ix, T0, &err));
    if (ix >= before) {
      twin_grow(ix);
      shadow.items[ix].created_ms = T0;
    }
    break;
  default:
    draw_item(&d, rng);
    twin_put(ix, &d);
    changed[ix] = true;
    assert_ok(wn_catalog_put(c, ix, &d.record, &err));
    break;
  }
  for (uint32_t i = before; i < shadow.count; i++) changed[i] = true;
}

static void test_random_changes(WN_UNUSED void **state) {
  wn_rng rng;
  wn_dict *dict = wn_dict_create();
  wn_catalog *c = wn_catalog_create(dict);
  memset(&shadow, 0, sizeof shadow);
  wn_rng_seed(&rng, 31);
  for (int round = 0; round < 300; round++) {
    bool changed[ITEMS] = {false}, told[ITEMS] = {false};
    uint64_t since = wn_catalog_version(c);
    for (int i = 0; i < 20; i++) random_change(c, &rng, changed);
    assert_true(wn_catalog_changes(c, since, mark_changed, told));
    assert_memory_equal(changed, told, sizeof changed);
    check_newest_somehow(c, &rng);
    if (round % 10 == 0) check_items(c);
  }
  check_items(c);
  assert_int_equal(shadow.count, ITEMS);
  wn_catalog_free(c);
  wn_dict_free(dict);
}

/* More active items than the newest list holds: the floor, removals below half, rebuilding. */
static void test_newest_beyond_list(WN_UNUSED void **state) {
  enum { N = 3 * WN_NEWEST_MAX, K = 50 };
  wn_rng rng;
  wn_error err;
  wn_dict *dict = wn_dict_create();
  wn_catalog *c = wn_catalog_create(dict);
  wn_item_ix got[K];
  wn_rng_seed(&rng, 8);
  for (wn_item_ix i = 0; i < N; i++) {
    wn_item_record item = {.created_ms = T0 + (int64_t)wn_rng_below(&rng, 5000)};
    assert_ok(wn_catalog_put(c, i, &item, &err));
  }
  for (int round = 0; round < 12000; round++) {
    wn_item_ix ix = (wn_item_ix)wn_rng_below(&rng, N);
    wn_item_record item = {.created_ms = T0 + (int64_t)wn_rng_below(&rng, 5000)};
    size_t len = wn_catalog_newest(c, NULL, 1, got);
    if (round % 3 > 0 && len == 1) wn_catalog_set_status(c, got[0], WN_ITEM_HIDDEN);
    if (round % 3 == 0) assert_ok(wn_catalog_put(c, ix, &item, &err));
    if (round % 500 > 0) continue;
    len = wn_catalog_newest(c, NULL, K, got);
    const int64_t *created = wn_catalog_created(c);
    size_t better = 0; /* nothing active that is not in the answer ranks before its last */
    for (wn_item_ix i = 0; i < N; i++) {
      bool active = wn_catalog_status(c, i) == WN_ITEM_ACTIVE;
      wn_item_ix last = got[len - 1];
      better += active && (created[i] > created[last] || (created[i] == created[last] && i > last));
    }
    assert_int_equal(len, K);
    assert_int_equal(better, K - 1);
  }
  wn_catalog_free(c);
  wn_dict_free(dict);
}

static void ignore_change(WN_UNUSED void *ctx, WN_UNUSED wn_item_ix ix) {}

static void test_changes_forgotten(WN_UNUSED void **state) {
  wn_error err;
  wn_dict *dict = wn_dict_create();
  wn_catalog *c = wn_catalog_create(dict);
  assert_ok(wn_catalog_touch(c, 0, T0, &err));
  uint64_t since = wn_catalog_version(c);
  assert_false(wn_catalog_changes(c, since + 1, ignore_change, NULL));
  for (int i = 0; i < WN_CHANGES_MAX; i++) {
    wn_catalog_set_status(c, 0, i % 2 == 0 ? WN_ITEM_HIDDEN : WN_ITEM_ACTIVE);
  }
  assert_true(wn_catalog_changes(c, since, ignore_change, NULL));
  wn_catalog_set_status(c, 0, WN_ITEM_HIDDEN);
  assert_false(wn_catalog_changes(c, since, ignore_change, NULL));
  assert_true(wn_catalog_changes(c, wn_catalog_version(c), ignore_change, NULL));
  wn_catalog_free(c);
  wn_dict_free(dict);
}

/* Items that are replaced for ever do not make the catalogue grow for ever. */
static void test_garbage_is_bounded(WN_UNUSED void **state) {
  wn_error err;
  wn_dict *dict = wn_dict_create();
  wn_catalog *c = wn_catalog_create(dict);
  size_t most = 0;
  for (int i = 0; i < 200000; i++) {
    char title[128], word[32];
    snprintf(title, sizeof title, "%0100d", i);
    snprintf(word, sizeof word, "word-%d", i);
    wn_str list[3] = {wn_str_of(word), WN_STR("a"), WN_STR("b")};
    wn_attr attrs[2] = {
        {.name = WN_STR("tags"), .kind = WN_ATTR_LIST, .list = list, .list_len = 3},
        {.name = WN_STR("stamp"), .kind = WN_ATTR_STRING, .string = wn_str_of(word)}};
    wn_item_record item = {.title = wn_str_of(title), .attrs = {attrs, 2}, .created_ms = T0};
    wn_item_ix ix = (wn_item_ix)i % 10;
    assert_ok(wn_catalog_put(c, ix, &item, &err));
    assert_str(wn_catalog_title(c, ix), title);
    const wn_column *tags = wn_catalog_column(c, WN_STR("tags"));
    assert_str(wn_dict_key(tags->values, tags->codes[tags->cells[ix].code]), word);
    size_t bytes = wn_catalog_bytes(c);
    if (bytes > most) most = bytes;
  }
  assert_true(most < 6 << 20);
  wn_catalog_free(c);
  wn_dict_free(dict);
}

/* More attribute names than columns: the first ones stay usable, the rest is left out. */
static void test_too_many_columns(WN_UNUSED void **state) {
  wn_error err;
  wn_dict *dict = wn_dict_create();
  wn_catalog *c = wn_catalog_create(dict);
  for (int i = 0; i < WN_CATALOG_COLUMNS_MAX + 50; i++) {
    char name[32];
    snprintf(name, sizeof name, "a%d", i);
    wn_attr attr = {.name = wn_str_of(name), .kind = WN_ATTR_NUMBER, .number = i};
    wn_item_record item = {.attrs = {&attr, 1}, .created_ms = T0};
    assert_ok(wn_catalog_put(c, (wn_item_ix)i % 100, &item, &err));
  }
  assert_int_equal(wn_catalog_column_count(c), WN_CATALOG_COLUMNS_MAX);
  assert_non_null(wn_catalog_column(c, WN_STR("a1023")));
  assert_null(wn_catalog_column(c, WN_STR("a1024")));
  assert_null(wn_catalog_column_at(c, WN_CATALOG_COLUMNS_MAX));
  wn_catalog_free(c);
  wn_dict_free(dict);
}

/* The same from the store, with stubs and tombstones, and then again from changes. */
static void test_load(WN_UNUSED void **state) {
  wn_error err;
  wn_rng rng;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_rng_seed(&rng, 12);
  memset(&shadow, 0, sizeof shadow);
  commit_one(store, event_op(NULL, "u", "stub", "view"));
  twin_grow(0);
  shadow.items[0].created_ms = T0;
  for (int i = 1; i < 200; i++) {
    draft d;
    char id[16];
    snprintf(id, sizeof id, "i%d", i);
    draw_item(&d, &rng);
    if (d.record.created_ms == 0) d.record.created_ms = T0;
    if (d.record.status == WN_ITEM_DELETED) d.record.status = WN_ITEM_HIDDEN;
    wn_op op = {.kind = WN_OP_ITEM_PUT, .u.item = d.record};
    op.u.item.id = wn_str_of(id);
    op = commit_one(store, op);
    twin_put(op.item_ix, &d);
    if (i % 10 > 0) continue;
    commit_one(store, delete_op(id));
    shadow.items[op.item_ix] =
        (twin_item){.status = WN_ITEM_DELETED, .created_ms = d.record.created_ms};
  }
  wn_catalog *c = wn_catalog_create(wn_store_items(store));
  assert_ok(wn_catalog_load(c, store, &err));
  check_items(c);
  check_newest_somehow(c, &rng);
  assert_str(wn_catalog_id(c, 0), "stub");
  assert_false(wn_catalog_changes(c, 0, ignore_change, NULL));
  assert_int_equal(wn_catalog_status(c, 5000), WN_ITEM_DELETED);
  assert_null(wn_catalog_title(c, 5000).ptr);
  wn_catalog_free(c);
  wn_store_close(store);
}

/* A put that finds no memory leaves the item as it was. */
static void test_memory(WN_UNUSED void **state) {
  wn_error err;
  wn_rng rng;
  draft d;
  wn_rng_seed(&rng, 3);
  bool done = false;
  for (long n = 0; !done; n++) {
    wn_dict *dict = wn_dict_create();
    wn_catalog *c = wn_catalog_create(dict);
    memset(&shadow, 0, sizeof shadow);
    draw_item(&d, &rng);
    twin_put(0, &d);
    assert_ok(wn_catalog_put(c, 0, &d.record, &err));
    draft other;
    draw_item(&other, &rng);
    wn_mem_fail_after(n);
    wn_status first = wn_catalog_put(c, 0, &other.record, &err);
    wn_status second = wn_catalog_touch(c, 2000, T0, &err);
    done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    if (first == WN_OK) twin_put(0, &other);
    if (second == WN_OK) {
      assert_int_equal(wn_catalog_count(c), 2001);
    } else {
      assert_int_equal(second, WN_E_MEMORY);
      check_items(c);
    }
    wn_catalog_free(c);
    wn_dict_free(dict);
    assert_true(n < 1000);
  }
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_changes),
      cmocka_unit_test(test_newest_beyond_list),
      cmocka_unit_test(test_changes_forgotten),
      cmocka_unit_test(test_garbage_is_bounded),
      cmocka_unit_test(test_too_many_columns),
      IN_DIR(test_load),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
