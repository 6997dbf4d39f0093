/* Datasets against a naive twin: a table of all pairs, filled event by event. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "data/pairs.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAY 86400000LL

static wn_signals signals;

static int setup(void **state) {
  (void)state;
  memset(&signals, 0, sizeof signals);
  wn_signals_add(&signals, WN_STR("view"));
  wn_signals_add(&signals, WN_STR("like"));
  wn_signals_add(&signals, WN_STR("dislike"));
  wn_signals_add(&signals, WN_STR("nothing"));
  signals.data[1].weight = 3.0f;
  signals.data[1].half_life_days = 7.0f;
  signals.data[2].weight = -1.0f;
  signals.data[3].weight = 0.0f;
  return 0;
}

static wn_event *random_events(size_t n, uint32_t users, uint32_t items, uint64_t seed) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  wn_event *events = wn_calloc(n + 1, sizeof *events);
  for (size_t i = 0; i < n; i++) {
    events[i] = (wn_event){.user = (uint32_t)wn_rng_below(&rng, users),
                           .item = (uint32_t)wn_rng_below(&rng, items),
                           .type = (uint32_t)wn_rng_below(&rng, 5), /* 4: not declared */
                           .value = NAN,
                           .time_ms = (int64_t)wn_rng_below(&rng, 40) * DAY,
                           .seq = i + 1};
  }
  return events;
}

typedef struct cell {
  double weight;
  size_t last; /* event number + 1 */
  int events;
} cell;

static bool later(const wn_event *events, size_t a, size_t b) {
  if (events[a].time_ms != events[b].time_ms) return events[a].time_ms > events[b].time_ms;
  if (events[a].seq != events[b].seq) return events[a].seq > events[b].seq;
  return a > b;
}

/* Every pair of the table is in the rows with its weight and time, and nothing else is. */
static void compare(const wn_event *events, size_t n, const wn_dataset *d) {
  cell *table = wn_calloc((size_t)d->users * d->items + 1, sizeof *table);
  int64_t now = 0;
  for (size_t i = 0; i < n; i++) now = events[i].time_ms > now ? events[i].time_ms : now;
  assert_int_equal(d->now_ms, now);
  for (size_t i = 0; i < n; i++) {
    cell *c = &table[(size_t)events[i].user * d->items + events[i].item];
    c->weight +=
        wn_signal_weight(&signals, events[i].type, events[i].value, events[i].time_ms, now);
    if (c->events++ == 0 || later(events, i, c->last)) c->last = i;
  }
  uint64_t pairs = 0, distinct = 0;
  for (uint32_t u = 0; u < d->users; u++) {
    for (uint64_t i = d->by_user.row_ptr[u]; i < d->by_user.row_ptr[u + 1]; i++) {
      cell *c = &table[(size_t)u * d->items + d->by_user.col[i]];
      assert_true(c->events > 0);
      assert_true(d->by_user.weight[i] != 0.0f);
      assert_float_equal(d->by_user.weight[i], (float)c->weight, 1e-5);
      assert_int_equal(d->by_user.time_ms[i], events[c->last].time_ms);
      if (i > d->by_user.row_ptr[u]) {
        const cell *before = &table[(size_t)u * d->items + d->by_user.col[i - 1]];
        assert_true(later(events, c->last, before->last));
      }
      pairs++;
    }
  }
  uint64_t expected = 0;
  for (size_t i = 0; i < (size_t)d->users * d->items; i++) {
    distinct += table[i].events > 0;
    expected += (float)table[i].weight != 0.0f;
  }
  assert_int_equal(pairs, expected);
  assert_int_equal(d->by_user.nnz, expected);
  assert_int_equal(d->event_count, n);
  assert_int_equal(d->duplicate_pair_count, n - distinct);
  wn_free(table);
}

static void compare_transpose(const wn_csr *a, const wn_csr *t) {
  assert_int_equal(t->rows, a->cols);
  assert_int_equal(t->cols, a->rows);
  assert_int_equal(t->nnz, a->nnz);
  assert_null(t->time_ms);
  uint64_t found = 0;
  for (uint32_t c = 0; c < t->rows; c++) {
    for (uint64_t i = t->row_ptr[c]; i < t->row_ptr[c + 1]; i++) {
      if (i > t->row_ptr[c]) assert_true(t->col[i] > t->col[i - 1]);
      uint32_t u = t->col[i];
      for (uint64_t j = a->row_ptr[u]; j < a->row_ptr[u + 1]; j++)
        found += a->col[j] == c && a->weight[j] == t->weight[i];
    }
  }
  assert_int_equal(found, a->nnz);
}

static void test_against_table(void **state) {
  (void)state;
  static const struct {
    size_t n;
    uint32_t users, items;
  } shapes[] = {{1, 1, 1}, {50, 1, 1}, {200, 1, 30}, {200, 30, 1}, {2000, 17, 23}, {5000, 60, 400}};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    wn_event *events = random_events(shapes[s].n, shapes[s].users, shapes[s].items, 11 + s);
    wn_dataset d;
    wn_error err = {0};
    assert_int_equal(wn_dataset_build_events((wn_event_list){events, shapes[s].n}, &signals,
                                             shapes[s].users, shapes[s].items + 3, &d, &err),
                     WN_OK);
    assert_int_equal(d.users, shapes[s].users);
    assert_int_equal(d.items, shapes[s].items + 3);
    assert_int_equal(d.last_seq, shapes[s].n);
    compare(events, shapes[s].n, &d);
    compare_transpose(&d.by_user, &d.by_item);
    assert_int_equal(wn_csr_validate(&d.by_user, &err), WN_OK);
    assert_int_equal(wn_csr_validate(&d.by_item, &err), WN_OK);
    wn_dataset_clear(&d);
    wn_free(events);
  }
}

static void same_dataset(const wn_dataset *a, const wn_dataset *b) {
  uint64_t n = a->by_user.nnz;
  assert_int_equal(n, b->by_user.nnz);
  assert_memory_equal(a->by_user.row_ptr, b->by_user.row_ptr, (a->users + 1) * sizeof(uint64_t));
  assert_memory_equal(a->by_user.col, b->by_user.col, n * sizeof(uint32_t));
  assert_memory_equal(a->by_user.weight, b->by_user.weight, n * sizeof(float));
  assert_memory_equal(a->by_user.time_ms, b->by_user.time_ms, n * sizeof(int64_t));
}

static void shuffle(wn_event *events, size_t n) {
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  for (size_t i = n; i > 1; i--) {
    size_t j = (size_t)wn_rng_below(&rng, i);
    wn_event t = events[i - 1];
    events[i - 1] = events[j];
    events[j] = t;
  }
}

/* Events of a log may come in any order: sequence numbers decide. */
static void test_any_order(void **state) {
  (void)state;
  wn_event *events = random_events(3000, 20, 40, 77);
  wn_dataset a, b, c;
  wn_error err = {0};
  assert_int_equal(wn_dataset_build_events((wn_event_list){events, 3000}, &signals, 0, 0, &a, &err),
                   WN_OK);
  shuffle(events, 3000);
  assert_int_equal(wn_dataset_build_events((wn_event_list){events, 3000}, &signals, 0, 0, &b, &err),
                   WN_OK);
  same_dataset(&a, &b);
  wn_dataset_builder *builder = wn_dataset_builder_create(&signals);
  for (size_t i = 0; i < 3000; i++)
    assert_int_equal(wn_dataset_builder_add(builder, &events[i], &err), WN_OK);
  assert_int_equal(wn_dataset_builder_count(builder), 3000);
  wn_dataset_builder_sort(builder);
  const wn_event *sorted = wn_dataset_builder_events(builder);
  for (size_t i = 1; i < 3000; i++) assert_true(later(sorted, i, i - 1));
  assert_int_equal(wn_dataset_build(builder, 0, 0, 0, &c, &err), WN_OK);
  same_dataset(&a, &c);
  wn_dataset_clear(&a);
  wn_dataset_clear(&b);
  wn_dataset_clear(&c);
  wn_dataset_builder_free(builder);
  wn_free(events);
}

/* Without sequence numbers the order given decides, with and without memory for sorting. */
static void test_sort_stable(void **state) {
  (void)state;
  for (int starved = 0; starved < 2; starved++) {
    for (size_t n = 0; n < 300; n = n * 2 + 1) {
      wn_event *events = random_events(n, 5, 5, n + 3);
      for (size_t i = 0; i < n; i++) {
        events[i].seq = 0;
        events[i].time_ms %= 4 * DAY;
        events[i].type = (uint32_t)i; /* the place it came from */
      }
      if (starved) wn_mem_fail_after(0);
      wn_events_sort(events, n);
      wn_mem_fail_after(-1);
      for (size_t i = 1; i < n; i++) {
        assert_true(events[i].time_ms >= events[i - 1].time_ms);
        if (events[i].time_ms == events[i - 1].time_ms)
          assert_true(events[i].type > events[i - 1].type);
      }
      wn_free(events);
    }
  }
}

static void test_zero_and_negative(void **state) {
  (void)state;
  const wn_event events[] = {
      {.user = 0, .item = 0, .type = 0, .value = NAN, .time_ms = 1},
      {.user = 0, .item = 0, .type = 2, .value = NAN, .time_ms = 2}, /* 1 − 1 = 0: left out */
      {.user = 0, .item = 1, .type = 2, .value = NAN, .time_ms = 3}, /* −1: kept */
      {.user = 0, .item = 2, .type = 3, .value = NAN, .time_ms = 4}, /* 0 */
      {.user = 0, .item = 3, .type = 0, .value = NAN, .time_ms = 5},
  };
  wn_dataset d;
  wn_error err = {0};
  assert_int_equal(wn_dataset_build_events((wn_event_list){events, 5}, &signals, 0, 0, &d, &err),
                   WN_OK);
  assert_int_equal(d.by_user.nnz, 2);
  assert_int_equal(d.by_user.col[0], 1);
  assert_float_equal(d.by_user.weight[0], -1.0f, 0);
  assert_int_equal(d.by_user.col[1], 3);
  assert_int_equal(d.duplicate_pair_count, 1);
  assert_int_equal(d.first_ms, 1);
  assert_int_equal(d.now_ms, 5);
  wn_dataset_clear(&d);
}

/* The pairs behind a history: zero weights kept, masks right. */
static void test_pairs_mask(void **state) {
  (void)state;
  wn_event events[] = {
      {.user = 1, .item = 0, .type = 3, .value = NAN, .time_ms = 9},
      {.user = 1, .item = 0, .type = 0, .value = NAN, .time_ms = 2},
      {.user = 1, .item = 5, .type = 3, .value = NAN, .time_ms = 3},
      {.user = 0, .item = 5, .type = 200, .value = NAN, .time_ms = 4},
      {.user = 2, .item = 5, .type = 1, .value = NAN, .time_ms = 4},
  };
  wn_pairs_input in = {.events = events,
                       .count = 5,
                       .signals = &signals,
                       .users = 4,
                       .keep_zero = true,
                       .with_mask = true};
  wn_pairs p;
  wn_error err = {0};
  assert_int_equal(wn_pairs_build(&in, &p, &err), WN_OK);
  assert_int_equal(p.users, 4);
  assert_int_equal(p.nnz, 4);
  assert_true(p.mask[0] == (uint64_t)1 << 63);
  assert_int_equal(p.item[1], 5);
  assert_true(p.mask[1] == 8);
  assert_float_equal(p.weight[1], 0.0f, 0);
  assert_int_equal(p.item[2], 0);
  assert_true(p.mask[2] == 9);
  assert_int_equal(p.time_ms[2], 9);
  assert_true(p.mask[3] == 2);
  assert_int_equal(p.row_ptr[4], 4);
  wn_pairs_clear(&p);
  in.keep_zero = false;
  assert_int_equal(wn_pairs_build(&in, &p, &err), WN_OK);
  assert_int_equal(p.nnz, 3);
  assert_true(p.mask[1] == 9); /* not what the dropped pair left */
  assert_true(p.mask[2] == 2);
  wn_pairs_clear(&p);
}

/* A pair has the strongest of its types: by level, then by weight. */
static void test_pair_type(void **state) {
  (void)state;
  wn_signals own;
  wn_signals_defaults(&own);
  uint32_t strong = wn_signals_add(&own, wn_str_of("nod"));
  own.data[strong].level = 2;
  uint8_t view = (uint8_t)wn_signals_find(&own, wn_str_of("view"));
  uint8_t buy = (uint8_t)wn_signals_find(&own, wn_str_of("buy"));
  const uint32_t types[][2] = {{view, buy}, {buy, view}, {strong, buy}, {view, 200}, {200, view}};
  const uint8_t want[] = {buy, buy, (uint8_t)strong, view, view};
  for (size_t i = 0; i < sizeof want; i++) {
    wn_event events[2] = {
        {.user = 0, .item = 0, .type = types[i][0], .value = NAN, .time_ms = 1},
        {.user = 0, .item = 0, .type = types[i][1], .value = NAN, .time_ms = 2},
    };
    wn_dataset d;
    wn_error err = {0};
    assert_int_equal(wn_dataset_build_events((wn_event_list){events, 2}, &own, 0, 0, &d, &err),
                     WN_OK);
    assert_int_equal(d.by_user.type[0], want[i]);
    assert_int_equal(d.level_of[want[i]], want[i] == strong ? 2 : 0);
    uint64_t mask = (uint64_t)1 << wn_signal_told(types[i][0]);
    mask |= (uint64_t)1 << wn_signal_told(types[i][1]);
    assert_int_equal(wn_signal_strongest(&own, mask), want[i]);
    assert_null(d.by_item.type);
    wn_dataset_clear(&d);
  }
  assert_int_equal(wn_signal_strongest(&own, 0), WN_SIGNALS_TOLD);
}

static void test_empty(void **state) {
  (void)state;
  wn_dataset d;
  wn_error err = {0};
  assert_int_equal(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, 0, 0, &d, &err), WN_OK);
  assert_int_equal(d.users, 0);
  assert_int_equal(d.by_user.nnz, 0);
  assert_int_equal(d.by_user.row_ptr[0], 0);
  assert_int_equal(d.by_item.row_ptr[0], 0);
  wn_dataset_clear(&d);
  assert_int_equal(wn_dataset_build_events((wn_event_list){NULL, 0}, &signals, 3, 4, &d, &err),
                   WN_OK);
  assert_int_equal(d.users, 3);
  assert_int_equal(d.by_item.row_ptr[4], 0);
  assert_int_equal(wn_csr_validate(&d.by_user, &err), WN_OK);
  wn_dataset_clear(&d);
}

static void test_one_busy_user(void **state) {
  (void)state;
  size_t n = 1000000;
  wn_event *events = wn_calloc(n, sizeof *events);
  for (size_t i = 0; i < n; i++)
    events[i] = (wn_event){.user = 2,
                           .item = (uint32_t)(i * 7919 % 50000),
                           .value = NAN,
                           .time_ms = 1000,
                           .seq = n - i}; /* backwards: must be sorted */
  wn_dataset d;
  wn_error err = {0};
  assert_int_equal(wn_dataset_build_events((wn_event_list){events, n}, &signals, 0, 0, &d, &err),
                   WN_OK);
  assert_int_equal(d.by_user.nnz, 50000);
  for (uint64_t i = 0; i < d.by_user.nnz; i++) assert_float_equal(d.by_user.weight[i], 20.0f, 0);
  assert_int_equal(d.by_user.col[d.by_user.nnz - 1], 0); /* seq n */
  assert_int_equal(d.duplicate_pair_count, n - 50000);
  wn_dataset_clear(&d);
  wn_free(events);
}

static void test_refused(void **state) {
  (void)state;
  wn_error err = {0};
  wn_dataset d;
  wn_dataset_builder *builder = wn_dataset_builder_create(&signals);
  wn_event e = {.user = WN_NO_IX, .item = 1, .value = NAN};
  assert_int_equal(wn_dataset_builder_add(builder, &e, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "user");
  assert_int_equal(wn_dataset_build_events((wn_event_list){&e, 1}, &signals, 0, 0, &d, &err),
                   WN_E_ARGUMENT);
  e = (wn_event){.user = 1, .item = WN_NO_IX, .value = NAN};
  assert_int_equal(wn_dataset_builder_add(builder, &e, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "item");
  e = (wn_event){.user = 1, .item = 1, .value = INFINITY};
  assert_int_equal(wn_dataset_builder_add(builder, &e, &err), WN_E_ARGUMENT);
  assert_int_equal(wn_dataset_build_events((wn_event_list){&e, 1}, &signals, 0, 0, &d, &err),
                   WN_E_ARGUMENT);
  assert_int_equal(wn_dataset_builder_count(builder), 0);
  wn_dataset_builder_free(builder);
  wn_dataset_builder_free(NULL);
}

static void test_validate(void **state) {
  (void)state;
  wn_error err = {0};
  uint64_t row_ptr[] = {0, 1, 3};
  uint32_t col[] = {2, 0, 1};
  float weight[] = {1, 2, 3};
  wn_csr csr = {.rows = 2, .cols = 3, .nnz = 3, .row_ptr = row_ptr, .col = col, .weight = weight};
  assert_int_equal(wn_csr_validate(&csr, &err), WN_OK);
  row_ptr[1] = 4;
  assert_int_equal(wn_csr_validate(&csr, &err), WN_E_CORRUPT);
  row_ptr[1] = 1;
  row_ptr[0] = 1;
  assert_int_equal(wn_csr_validate(&csr, &err), WN_E_CORRUPT);
  row_ptr[0] = 0;
  row_ptr[2] = 2;
  assert_int_equal(wn_csr_validate(&csr, &err), WN_E_CORRUPT);
  row_ptr[2] = 3;
  col[1] = 3;
  assert_int_equal(wn_csr_validate(&csr, &err), WN_E_CORRUPT);
  col[1] = 0;
  weight[2] = NAN;
  assert_int_equal(wn_csr_validate(&csr, &err), WN_E_CORRUPT);
}

/* Two users of two items each and one of a single item, who does not count. */
static void test_order(void **state) {
  (void)state;
  wn_event e[5] = {{.user = 0, .item = 0, .time_ms = 5, .value = NAN},
                   {.user = 1, .item = 0, .time_ms = 5, .value = NAN},
                   {.user = 2, .item = 0, .time_ms = 5, .value = NAN},
                   {.user = 0, .item = 1, .time_ms = 5, .value = NAN},
                   {.user = 1, .item = 1, .time_ms = 5, .value = NAN}};
  wn_error err = {0};
  const wn_time_order want[] = {WN_ORDER_UNKNOWN, WN_ORDER_NONE, WN_ORDER_TIMES};
  for (size_t i = 0; i < 3; i++) {
    wn_dataset d;
    e[4].time_ms = i == 2 ? 6 : 5;
    assert_int_equal(
        wn_dataset_build_events((wn_event_list){e, i == 0 ? 3 : 5}, &signals, 0, 0, &d, &err),
        WN_OK);
    assert_int_equal(wn_dataset_order(&d), want[i]);
    wn_dataset_clear(&d);
  }
}

static void test_out_of_memory(void **state) {
  (void)state;
  wn_event *events = random_events(500, 10, 20, 3);
  wn_error err = {0};
  wn_dataset d;
  for (long n = 0;; n++) {
    wn_mem_fail_after(n);
    wn_status status =
        wn_dataset_build_events((wn_event_list){events, 500}, &signals, 0, 0, &d, &err);
    long made = wn_mem_allocations();
    wn_mem_fail_after(-1);
    if (status == WN_OK) { /* sorting does without memory */
      wn_dataset_clear(&d);
      if (made <= n) break;
      continue;
    }
    assert_int_equal(status, WN_E_MEMORY);
    assert_null(d.by_user.row_ptr);
    assert_true(n < 200);
  }
  wn_free(events);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_table), cmocka_unit_test(test_any_order),
      cmocka_unit_test(test_sort_stable),   cmocka_unit_test(test_zero_and_negative),
      cmocka_unit_test(test_pairs_mask),    cmocka_unit_test(test_pair_type),
      cmocka_unit_test(test_empty),         cmocka_unit_test(test_one_busy_user),
      cmocka_unit_test(test_refused),       cmocka_unit_test(test_validate),
      cmocka_unit_test(test_order),         cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, setup, NULL);
}
