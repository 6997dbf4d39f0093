/* The audit of a split: what leaks from the test part into train. Sources: Kaufman et al. 2012 and
 * Kapoor and Narayanan 2023 (leakage), Meng et al. 2020 and Ji et al. 2023 (recommenders' splits).
 * One sort of all events by pair, O(n log n), 48 bytes an event. The audit of features and
 * propensities is in audit_more.c. */
#include "lab/audit.h"

#include "base/mem.h"
#include "lab/audit_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wn_audit_check *wn_audit_add(wn_audit *audit, const char *name, wn_guard_state state,
                             const uint64_t count_of[2], const char *format, ...) {
  va_list args;
  if (audit->len == WN_AUDIT_CHECKS_MAX) return NULL;
  wn_audit_check *check = &audit->checks[audit->len++];
  snprintf(check->name, sizeof check->name, "%s", name);
  check->state = state;
  check->count = count_of[0];
  check->of = count_of[1];
  va_start(args, format);
  vsnprintf(check->reason, sizeof check->reason, format, args);
  va_end(args);
  return check;
}

wn_guard_state wn_audit_worst(const wn_audit *audit) {
  wn_guard_state worst = WN_GUARD_PASS;
  for (size_t i = 0; i < audit->len; i++)
    if (audit->checks[i].state > worst) worst = audit->checks[i].state;
  return worst;
}

const wn_audit_check *wn_audit_find(const wn_audit *audit, const char *name) {
  for (size_t i = 0; i < audit->len; i++)
    if (strcmp(audit->checks[i].name, name) == 0) return &audit->checks[i];
  return NULL;
}

void wn_audit_to_json(const wn_audit *audit, wn_json *j) {
  static const char *const states[] = {"pass", "warn", "fail"};
  wn_json_array(j);
  for (size_t i = 0; i < audit->len; i++) {
    const wn_audit_check *check = &audit->checks[i];
    wn_json_object(j);
    wn_json_key(j, "check");
    wn_json_cstring(j, check->name);
    wn_json_key(j, "state");
    wn_json_cstring(j, states[check->state]);
    wn_json_key(j, "count");
    wn_json_int(j, (int64_t)check->count);
    wn_json_key(j, "of");
    wn_json_int(j, (int64_t)check->of);
    wn_json_key(j, "reason");
    wn_json_cstring(j, check->reason);
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
}

static double percent(uint64_t part, uint64_t whole) {
  return whole > 0 ? 100 * (double)part / (double)whole : 0;
}

/* --- what lies after what --- */

static wn_status audit_future(const wn_audit_sides *s, wn_audit *out, wn_error *err) {
  uint64_t later = 0, own = 0;
  int64_t last = INT64_MIN;
  uint32_t users = 0;
  const uint64_t none[2] = {0, s->test.len};
  if (!s->timed) {
    wn_audit_add(out, "future", WN_GUARD_WARN, none,
                 "the data have no times that compare: whether train knows the test part's future "
                 "cannot be told");
    return WN_OK;
  }
  for (size_t i = 0; i < s->train.len; i++)
    users = s->train.data[i].user >= users ? s->train.data[i].user + 1 : users;
  int64_t *last_of = wn_reallocarray(NULL, (size_t)users + 1, sizeof *last_of);
  if (last_of == NULL) return wn_fail_memory(err);
  for (uint32_t u = 0; u < users; u++) last_of[u] = INT64_MIN;
  for (size_t i = 0; i < s->train.len; i++) {
    const wn_event *e = &s->train.data[i];
    last = e->time_ms > last ? e->time_ms : last;
    if (e->time_ms > last_of[e->user]) last_of[e->user] = e->time_ms;
  }
  for (size_t i = 0; i < s->test.len; i++) {
    const wn_event *e = &s->test.data[i];
    later += e->time_ms < last;
    own += e->user < users && e->time_ms < last_of[e->user];
  }
  wn_free(last_of);
  bool by_design = s->kind != WN_SPLIT_TIME && s->kind != WN_SPLIT_GIVEN;
  wn_audit_add(out, "future",
               later == 0  ? WN_GUARD_PASS
               : by_design ? WN_GUARD_WARN
                           : WN_GUARD_FAIL,
               (uint64_t[]){later, s->test.len},
               "%.1f%% of the test events have later train events%s", percent(later, s->test.len),
               later == 0  ? ""
               : by_design ? ": such a split lets models learn from what came after"
                           : ": train knows the future, and no number on this split is believable");
  wn_audit_add(out, "own future",
               own == 0                     ? WN_GUARD_PASS
               : s->kind == WN_SPLIT_RANDOM ? WN_GUARD_WARN
                                            : WN_GUARD_FAIL,
               (uint64_t[]){own, s->test.len},
               "%.1f%% of the test events have later train events of the same user",
               percent(own, s->test.len));
  return WN_OK;
}

/* --- pairs --- */

typedef struct sided {
  const wn_event *event;
  bool is_test;
} sided;

static int by_pair(const void *a, const void *b) {
  const wn_event *x = ((const sided *)a)->event, *y = ((const sided *)b)->event;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  if (x->item != y->item) return x->item < y->item ? -1 : 1;
  if (x->type != y->type) return x->type < y->type ? -1 : 1;
  return (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

typedef struct pair_counts {
  uint64_t test_pairs, both_sides, repeats, conflicts, changes, out_of_range, labelled;
} pair_counts;

static bool same_value(const wn_event *a, const wn_event *b) {
  return a->value == b->value || (isnan(a->value) && isnan(b->value));
}

/* Of sorted events; `compares`: times tell events of one pair apart. */
static pair_counts count_pairs(const wn_audit_sides *s, const sided *all, size_t n) {
  pair_counts c = {0};
  for (size_t i = 0, end; i < n; i = end) {
    bool train = false, test = false;
    for (end = i; end < n && all[end].event->user == all[i].event->user &&
                  all[end].event->item == all[i].event->item;
         end++) {
      const wn_event *e = all[end].event, *before = end > i ? all[end - 1].event : NULL;
      train |= !all[end].is_test;
      test |= all[end].is_test;
      c.labelled += !isnan(e->value);
      c.out_of_range += (double)e->value < s->value_min || (double)e->value > s->value_max;
      if (before == NULL || before->type != e->type) continue;
      bool together = !s->timed || before->time_ms == e->time_ms;
      c.repeats += together && same_value(before, e) && all[end].is_test == all[end - 1].is_test;
      c.conflicts += together && !same_value(before, e);
      c.changes += !together && !same_value(before, e);
    }
    c.test_pairs += test;
    c.both_sides += train && test;
  }
  return c;
}

static void report_pairs(const wn_audit_sides *s, const pair_counts *c, size_t n, wn_audit *out) {
  bool given = s->kind == WN_SPLIT_GIVEN;
  char apart[128] = "(there are no times: one of them is wrong, or old)";
  if (s->timed && c->changes == 0)
    snprintf(apart, sizeof apart, "at the same time");
  else if (s->timed)
    snprintf(apart, sizeof apart,
             "at the same time, %" PRIu64 " at another: a changed mind, an amount, or an error",
             c->changes);
  wn_audit_add(out, "duplicates",
               c->both_sides == 0 ? WN_GUARD_PASS
               : given            ? WN_GUARD_FAIL
                                  : WN_GUARD_WARN,
               (uint64_t[]){c->both_sides, c->test_pairs},
               "%.1f%% of the test pairs are in train, too%s",
               percent(c->both_sides, c->test_pairs),
               c->both_sides == 0 ? ""
               : given ? ": a model that repeats the past is rewarded, and where seen items are "
                         "masked these are lost"
                       : ": users come back to them; they are masked and not relevant here");
  wn_audit_add(out, "repeats", c->repeats == 0 ? WN_GUARD_PASS : WN_GUARD_WARN,
               (uint64_t[]){c->repeats, n}, "%.1f%% of the events repeat another of their side",
               percent(c->repeats, n));
  wn_audit_add(out, "labels",
               c->conflicts > 0 ? WN_GUARD_FAIL
               : c->changes > 0 ? WN_GUARD_WARN
                                : WN_GUARD_PASS,
               (uint64_t[]){c->conflicts > 0 ? c->conflicts : c->changes, c->labelled},
               "%" PRIu64 " events give a pair another value %s", c->conflicts, apart);
  if (isnan(s->value_min) && isnan(s->value_max)) return;
  wn_audit_add(out, "range", c->out_of_range == 0 ? WN_GUARD_PASS : WN_GUARD_FAIL,
               (uint64_t[]){c->out_of_range, c->labelled},
               "%" PRIu64 " of %" PRIu64 " values lie outside %g to %g", c->out_of_range,
               c->labelled, s->value_min, s->value_max);
}

static wn_status audit_pairs(const wn_audit_sides *s, wn_audit *out, wn_error *err) {
  size_t n = s->train.len + s->test.len;
  sided *all = wn_reallocarray(NULL, n + 1, sizeof *all);
  if (all == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < s->train.len; i++) all[i] = (sided){&s->train.data[i], false};
  for (size_t i = 0; i < s->test.len; i++) all[s->train.len + i] = (sided){&s->test.data[i], true};
  qsort(all, n, sizeof *all, by_pair);
  pair_counts counts = count_pairs(s, all, n);
  report_pairs(s, &counts, n, out);
  wn_free(all);
  return WN_OK;
}

/* --- who is on which side --- */

typedef struct presence {
  wn_bitset train, test;
  uint64_t cold_events;
} presence;

static wn_status count_side(const wn_audit_sides *s, bool users, wn_audit *out, wn_error *err) {
  presence p = {0};
  uint32_t most = 0;
  const wn_event_list sides[2] = {s->train, s->test};
  const char *what = users ? "users" : "items";
  char name[16];
  for (int side = 0; side < 2; side++)
    for (size_t i = 0; i < sides[side].len; i++) {
      uint32_t ix = users ? sides[side].data[i].user : sides[side].data[i].item;
      most = ix >= most ? ix + 1 : most;
    }
  if (!wn_bitset_init(&p.train, most) || !wn_bitset_init(&p.test, most)) {
    wn_bitset_clear(&p.train);
    return wn_fail_memory(err);
  }
  for (int side = 0; side < 2; side++)
    for (size_t i = 0; i < sides[side].len; i++)
      wn_bitset_set(side == 0 ? &p.train : &p.test,
                    users ? sides[side].data[i].user : sides[side].data[i].item);
  for (size_t i = 0; i < s->test.len; i++)
    p.cold_events += !wn_bitset_test(&p.train, users ? s->test.data[i].user : s->test.data[i].item);
  uint64_t in_train = wn_bitset_count(&p.train), in_test = wn_bitset_count(&p.test), cold = 0;
  for (uint32_t i = 0; i < most; i++)
    cold += wn_bitset_test(&p.test, i) && !wn_bitset_test(&p.train, i);
  snprintf(name, sizeof name, "cold %s", what);
  wn_audit_add(out, name, 2 * p.cold_events > s->test.len ? WN_GUARD_WARN : WN_GUARD_PASS,
               (uint64_t[]){cold, in_test},
               "%" PRIu64 " %s in train, %" PRIu64 " in test, %" PRIu64
               " of these not in train (%.1f%% of the test events)",
               in_train, what, in_test, cold, percent(p.cold_events, s->test.len));
  wn_bitset_clear(&p.train);
  wn_bitset_clear(&p.test);
  return WN_OK;
}

wn_status wn_audit_split(const wn_audit_sides *s, wn_audit *out, wn_error *err) {
  bool empty = s->train.len == 0 || s->test.len == 0;
  wn_status status = WN_OK;
  wn_audit_add(out, "sizes", empty ? WN_GUARD_FAIL : WN_GUARD_PASS,
               (uint64_t[]){s->test.len, s->train.len + s->test.len},
               "%zu train events, %zu test events%s", s->train.len, s->test.len,
               empty ? ": one side is empty" : "");
  if (empty) return WN_OK;
  WN_TRY(audit_future(s, out, err));
  WN_TRY(audit_pairs(s, out, err));
  WN_TRY(count_side(s, true, out, err));
  WN_TRY(count_side(s, false, out, err));
cleanup:
  return status;
}
