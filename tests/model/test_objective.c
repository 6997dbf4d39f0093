/* Rules of objectives: their text, quantiles among like items, successes of pairs over time. */
#include "fitting.h"

#include "model/objective.h"

#define HOUR INT64_C(3600000)

static void parse(const char *text, wn_label_rule *rule) {
  assert_ok(wn_label_rule_parse(wn_str_of(text), rule, err));
}

static void test_rules(void **state) {
  (void)state;
  static const char *const same[] = {"click",
                                     "watch >= 0.75",
                                     "buy within 7d",
                                     "buy or cart > 2 or gift within 12h",
                                     "rating <= 2.5 within 90s",
                                     "a < -1 or b == 0"};
  char text[256];
  wn_label_rule rule;
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    parse(same[i], &rule);
    assert_string_equal(wn_label_rule_print(&rule, text, sizeof text), same[i]);
  }
  parse("  watch>=0.75   within  1.5h ", &rule);
  assert_string_equal(wn_label_rule_print(&rule, text, sizeof text), "watch >= 0.75 within 90m");
  assert_true(rule.terms == 1 && rule.within_ms == 3 * HOUR / 2);
  assert_true(wn_label_rule_holds(&rule, "watch", 0.75));
  assert_false(wn_label_rule_holds(&rule, "watch", (double)NAN));
  assert_false(wn_label_rule_holds(&rule, "view", 1));
}

static void test_bad_rules(void **state) {
  (void)state;
  static const char *const bad[][2] = {
      {"", "event type"},
      {">= 3", "event type"},
      {"a or", "event type"},
      {"a => 3", ">=, >, <="},
      {"a >= x", "number"},
      {"a within", "time"},
      {"a within 7", "time"},
      {"a within -1d", "time"},
      {"a within 400d", "time"},
      {"a b", "`or`, `within`"},
      {"a within 1d or b", "the end"},
      {"a or b or c or d or e", "at most four"},
      {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "event type"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    wn_label_rule rule;
    wn_error err = {0};
    assert_int_equal(wn_label_rule_parse(wn_str_of(bad[i][0]), &rule, &err), WN_E_ARGUMENT);
    if (strstr(err.message, bad[i][1]) == NULL) fail_msg("%s: %s", bad[i][0], err.message);
  }
}

/* --- labels --- */

enum { VIDEOS = 40, WATCHES = 4000, CLICK = 0, WATCH = 1 };

/* Item i lasts 10 s · (i + 1): the first half is short, and watched to the end more often. */
static wn_status scan_videos(void *ctx,
                             wn_status (*each)(void *each_ctx, wn_item_ix ix,
                                               const wn_item_record *item, wn_error *err),
                             void *each_ctx, wn_error *err) {
  (void)ctx;
  for (uint32_t i = 0; i < VIDEOS; i++) {
    wn_attr attr = {.name = WN_STR("length"), .kind = WN_ATTR_NUMBER, .number = 10.0 * (i + 1)};
    wn_item_record item = {.attrs = {&attr, i + 1 < VIDEOS}}; /* of the last nothing is known */
    wn_status status = each(each_ctx, i, &item, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

typedef struct labelled {
  wn_event events[WATCHES];
  wn_signals signals;
  wn_dataset data;
  wn_objectives objectives;
  wn_labels *labels;
} labelled;

static void objective(wn_objectives *all, const char *rule, const char *among) {
  wn_objective *o = &all->data[all->len++];
  snprintf(o->name, sizeof o->name, "o%zu", all->len);
  snprintf(o->among, sizeof o->among, "%s", among);
  parse(rule, &o->rule);
}

static void init(labelled *l) {
  wn_rng rng;
  memset(l, 0, sizeof *l);
  assert_int_equal(wn_signals_add(&l->signals, WN_STR("click")), CLICK);
  assert_int_equal(wn_signals_add(&l->signals, WN_STR("watch")), WATCH);
  wn_rng_seed(&rng, 5);
  for (size_t e = 0; e < WATCHES; e++) {
    uint32_t item = (uint32_t)wn_rng_below(&rng, VIDEOS);
    double pull = 0.8 / (1 + item); /* of being watched to the end */
    l->events[e] = (wn_event){.user = (uint32_t)wn_rng_below(&rng, 50),
                              .item = item,
                              .type = WATCH,
                              .value = (float)pow(wn_rng_double(&rng), 1 - pull),
                              .time_ms = (int64_t)e * HOUR};
  }
  l->data.items = VIDEOS;
  l->data.items_source.scan = scan_videos;
  objective(&l->objectives, "watch >= 0.75", "");
  objective(&l->objectives, "watch >= 0.75", "length");
  objective(&l->objectives, "click or watch > 0.9 within 2h", "");
  objective(&l->objectives, "never", "");
  wn_event_list events = {l->events, WATCHES};
  assert_ok(wn_labels_create(&l->objectives, &l->signals, events, &l->data, &l->labels, err));
}

/* Raw shares call most watches of short videos finished; quantiles call a quarter of each length
 * finished. */
static void test_among_like(void **state) {
  (void)state;
  static labelled l;
  double raw[2] = {0}, fair[2] = {0}, n[2] = {0};
  init(&l);
  for (size_t e = 0; e < WATCHES; e++) {
    const wn_event *of = &l.events[e];
    uint8_t bits = wn_labels_of_event(l.labels, of->type, of->item, (double)of->value);
    if (of->item + 1 == VIDEOS) {
      assert_int_equal(bits & 2, 0);
      continue;
    }
    size_t half = of->item >= 4;
    raw[half] += bits & 1;
    fair[half] += bits >> 1 & 1;
    n[half]++;
    assert_int_equal(bits >> 2 & 1, of->value > 0.9f);
    assert_int_equal(bits >> 3, 0);
  }
  assert_true(raw[0] / n[0] > 0.4 && raw[1] / n[1] < 0.33);
  assert_float_equal(fair[0] / n[0], 0.25, 0.03);
  assert_float_equal(fair[1] / n[1], 0.25, 0.03);
  assert_int_equal(wn_labels_of_event(l.labels, CLICK, 3, (double)NAN), 4);
  assert_int_equal(wn_labels_of_event(l.labels, 77, 3, 1), 0);
  wn_labels_free(l.labels);
}

static void test_times(void **state) {
  (void)state;
  static labelled l;
  init(&l);
  assert_int_equal(wn_labels_within(l.labels, 2 * HOUR), 15);
  assert_int_equal(wn_labels_within(l.labels, 2 * HOUR + 1), 11);
  assert_int_equal(wn_labels_within(l.labels, 24 * HOUR + 1), 0);
  assert_int_equal(wn_labels_ripe(l.labels, 2 * HOUR - 1), 11);
  assert_int_equal(wn_labels_ripe(l.labels, 2 * HOUR), 15);
  assert_true(wn_labels_window_ms(l.labels) == 24 * HOUR);
  wn_labels_free(l.labels);
}

/* The index against a scan of all events. */
static void test_index(void **state) {
  (void)state;
  static labelled l;
  wn_label_index *index;
  init(&l);
  wn_event_list events = {l.events, WATCHES};
  assert_ok(wn_label_index_create(l.labels, events, &index, err));
  size_t found = 0;
  for (uint32_t u = 0; u < 50; u += 3)
    for (uint32_t i = 0; i < VIDEOS; i++)
      for (int64_t at = 0; at < WATCHES * HOUR; at += 397 * HOUR) {
        uint8_t bits = 0, ever = 0;
        for (size_t e = 0; e < WATCHES; e++) {
          const wn_event *of = &l.events[e];
          if (of->user != u || of->item != i) continue;
          uint8_t here = wn_labels_of_event(l.labels, of->type, i, (double)of->value);
          ever |= here;
          if (of->time_ms >= at) bits |= here & wn_labels_within(l.labels, of->time_ms - at);
        }
        assert_int_equal(wn_label_index_at(index, u, i, at), bits);
        assert_int_equal(wn_label_index_at(index, u, i, WN_ANY_TIME), ever);
        found += bits != 0;
      }
  assert_true(found > 10);
  wn_label_index_free(index);
  wn_labels_free(l.labels);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_bad_rules),
                                     cmocka_unit_test(test_among_like),
                                     cmocka_unit_test(test_times), cmocka_unit_test(test_index)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
