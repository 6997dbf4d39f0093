/* Behaviour tests of what a model stands on: the log, the split, and quality by group.
 *
 * Groups are judged by the newest evaluation of the data directory: its slices have intervals and
 * adjusted tests already. Equal quality: no group of users certainly below 80% of the row's mean
 * (the four-fifths rule). Head, torso and tail: each certainly above what random finds there. */
#include "serve/behaviour.h"

#include "base/map64.h"
#include "base/mem.h"
#include "lab/evaluate.h"
#include "lab/stats.h"
#include "serve/engine_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FOUR_FIFTHS    0.8
#define DUPLICATES_MAX 0.001
#define TEST_SHARE     0.1

/* --- the log --- */

static wn_str user_of(const wn_engine *engine, uint32_t ix) {
  return wn_dict_key(wn_store_users(engine->store), ix);
}

static wn_str item_of(const wn_engine *engine, uint32_t ix) {
  return wn_dict_key(wn_store_items(engine->store), ix);
}

void wn_check_judge_share(wn_check *c, size_t bad, size_t n, double most) {
  wn_estimate share = wn_wilson((double)bad, (double)n, 0.05);
  if (n == 0) return;
  c->value = (double)bad / (double)n;
  c->low = bad == 0 ? 0 : share.low;
  c->high = share.high;
  wn_check_judge(c, most, false);
  if (bad == 0) c->state = WN_CHECK_PASS;
}

static uint64_t value_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return (uint64_t)bits + 1; /* never 0, which is "not met" */
}

/* The same user, item, type and moment: with one value a duplicate, with two a contradiction. */
static wn_status check_log(wn_engine *engine, const wn_event *events, size_t len,
                           wn_check_report *report, wn_error *err) {
  wn_check *twice = wn_check_add(report, "no event is there twice");
  wn_check *labels = wn_check_add(report, "labels are in range and agree");
  size_t duplicates = 0, wrong = 0;
  wn_map64 met;
  wn_map64_init(&met);
  for (size_t i = 0; i < len; i++) {
    const wn_event *e = &events[i];
    const uint64_t key[] = {(uint64_t)e->user << 32 | e->item, e->type, (uint64_t)e->time_ms};
    uint64_t *value = wn_map64_at(&met, wn_hash64(key, sizeof key, 0));
    if (value == NULL) {
      wn_map64_clear(&met);
      return wn_fail_memory(err);
    }
    bool same = *value == value_bits(e->value), contradicts = *value != 0 && !same;
    duplicates += *value != 0 && same;
    wrong += contradicts || isinf(e->value);
    if (*value != 0 && same)
      wn_check_worst(twice, "user %.*s, item %.*s", WN_STR_ARG(user_of(engine, e->user)),
                     WN_STR_ARG(item_of(engine, e->item)));
    if (contradicts || isinf(e->value))
      wn_check_worst(labels, "user %.*s, item %.*s: %g", WN_STR_ARG(user_of(engine, e->user)),
                     WN_STR_ARG(item_of(engine, e->item)), (double)e->value);
    *value = value_bits(e->value);
  }
  wn_map64_clear(&met);
  wn_check_judge_share(twice, duplicates, len, DUPLICATES_MAX);
  wn_check_judge_share(labels, wrong, len, DUPLICATES_MAX);
  snprintf(twice->reason, sizeof twice->reason,
           "%zu events: share with an earlier one of the same user, item, type, time and value; at "
           "most %g%%",
           len, 100 * DUPLICATES_MAX);
  snprintf(labels->reason, sizeof labels->reason,
           "%zu events: share that is infinite, or contradicts an earlier value of the same user, "
           "item, type and time; at most %g%%",
           len, 100 * DUPLICATES_MAX);
  return WN_OK;
}

/* --- the split --- */

static size_t later_in_train(const wn_split *split) {
  size_t n = 0;
  for (size_t i = 0; i < split->train_len; i++)
    n += split->cut_ms > 0 && split->train[i].time_ms >= split->cut_ms;
  return n;
}

/* Test pairs that are in train. */
static size_t shared_pairs(wn_engine *engine, const wn_split *split, wn_check *c) {
  size_t n = 0;
  for (uint32_t u = 0; u < split->users; u++) {
    uint64_t s = split->seen.ptr[u];
    for (uint64_t t = split->test.ptr[u]; t < split->test.ptr[u + 1]; t++) {
      while (s < split->seen.ptr[u + 1] && split->seen.item[s] < split->test.item[t]) s++;
      if (s == split->seen.ptr[u + 1] || split->seen.item[s] != split->test.item[t]) continue;
      n++;
      wn_check_worst(c, "user %.*s, item %.*s", WN_STR_ARG(user_of(engine, u)),
                     WN_STR_ARG(item_of(engine, split->test.item[t])));
    }
  }
  return n;
}

static wn_status check_split(wn_engine *engine, wn_event_list events, wn_check_report *report,
                             wn_error *err) {
  wn_check *c = wn_check_add(report, "the split is what it says");
  wn_split split = {0};
  const wn_split_options how = {.kind = WN_SPLIT_TIME,
                                .test_share = TEST_SHARE,
                                .seed = 1,
                                .items = wn_catalog_count(engine->catalog)};
  wn_error why = {0};
  wn_status status = wn_split_make(events, &engine->serving->signals, &how, &split, &why);
  if (status == WN_E_MEMORY) return wn_fail_memory(err);
  if (status != WN_OK) {
    snprintf(c->reason, sizeof c->reason, "no split can be made: %.180s", why.message);
    return WN_OK;
  }
  size_t late = later_in_train(&split), shared = shared_pairs(engine, &split, c);
  c->value = c->low = c->high = (double)(late + shared);
  c->state = late + shared == 0 ? WN_CHECK_PASS : WN_CHECK_FAIL;
  snprintf(
      c->reason, sizeof c->reason,
      "%s: %zu train events at or after the cut, %zu test pairs that are in train; none may be",
      split.cut_ms > 0 ? "by time" : "at random, for want of times", late, shared);
  wn_split_clear(&split);
  return WN_OK;
}

/* --- groups --- */

static const json_t *row_named(const json_t *rows, const char *begin) {
  size_t i;
  json_t *row;
  json_array_foreach(rows, i, row) {
    const char *name = json_string_value(json_object_get(row, "model"));
    if (name != NULL && strncmp(name, begin, strlen(begin)) == 0) return row;
  }
  return NULL;
}

static double slice_number(const json_t *slice, const char *key) {
  const json_t *value = json_object_get(json_object_get(slice, "value"), key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *slice_text(const json_t *slice, const char *key) {
  const char *text = json_string_value(json_object_get(slice, key));
  return text != NULL ? text : "";
}

/* Users' groups against 80% of the mean over all of them. */
static void check_groups(wn_check *c, const json_t *row) {
  const json_t *slice;
  size_t i, groups = 0, below = 0, unsure = 0;
  double sum = 0, users = 0;
  json_t *slices = json_object_get(row, "slices");
  json_array_foreach(slices, i, slice) {
    double n = json_number_value(json_object_get(slice, "users"));
    if (strcmp(slice_text(slice, "of"), "users") != 0 || isnan(slice_number(slice, "mean")))
      continue;
    sum += n * slice_number(slice, "mean");
    users += n;
  }
  double mean = users > 0 ? sum / users : NAN;
  json_array_foreach(slices, i, slice) {
    if (strcmp(slice_text(slice, "of"), "users") != 0 || isnan(slice_number(slice, "mean")))
      continue;
    double ratio = slice_number(slice, "mean") / mean;
    groups++;
    if (!(c->value <= ratio)) {
      c->value = ratio;
      c->low = slice_number(slice, "low") / mean;
      c->high = slice_number(slice, "high") / mean;
    }
    bool bad = slice_number(slice, "high") < FOUR_FIFTHS * mean;
    below += bad;
    unsure += !bad && slice_number(slice, "low") < FOUR_FIFTHS * mean;
    if (bad)
      wn_check_worst(c, "%s %s: %.0f%% of the mean", slice_text(slice, "by"),
                     slice_text(slice, "name"), 100 * ratio);
  }
  if (groups > 0)
    c->state = below > 0 ? WN_CHECK_FAIL : unsure > 0 ? WN_CHECK_INCONCLUSIVE : WN_CHECK_PASS;
  snprintf(c->reason, sizeof c->reason,
           "the least of %zu groups of users over the mean of %s; none certainly below %.0f%%",
           groups, slice_text(row, "model"), 100 * FOUR_FIFTHS);
}

static void check_tail(wn_check *c, const json_t *row, const json_t *random) {
  const json_t *slice;
  size_t i, groups = 0, below = 0, unsure = 0;
  json_array_foreach(json_object_get(row, "slices"), i, slice) {
    const json_t *floor = json_array_get(json_object_get(random, "slices"), i);
    if (strcmp(slice_text(slice, "of"), "items") != 0 ||
        strcmp(slice_text(slice, "by"), "popularity") != 0 ||
        strcmp(slice_text(floor, "name"), slice_text(slice, "name")) != 0)
      continue;
    double least = slice_number(floor, "mean"), mean = slice_number(slice, "mean");
    if (isnan(least) || isnan(mean)) continue;
    groups++;
    if (!(c->value <= mean)) {
      c->value = mean;
      c->low = slice_number(slice, "low");
      c->high = slice_number(slice, "high");
    }
    bool bad = slice_number(slice, "high") < least;
    below += bad;
    unsure += !bad && slice_number(slice, "low") < least;
    if (bad || slice_number(slice, "low") < least)
      wn_check_worst(c, "%s: recall %.4f, random %.4f", slice_text(slice, "name"), mean, least);
  }
  if (groups > 0)
    c->state = below > 0 ? WN_CHECK_FAIL : unsure > 0 ? WN_CHECK_INCONCLUSIVE : WN_CHECK_PASS;
  snprintf(c->reason, sizeof c->reason,
           "least recall of %zu groups of items by popularity, of %s; each above random's there",
           groups, slice_text(row, "model"));
}

static void check_evaluation(const wn_check_options *options, wn_check_report *report) {
  wn_check *groups = wn_check_add(report, "groups of users are served alike");
  wn_check *tail = wn_check_add(report, "head, torso and tail are each found");
  const json_t *rows = json_object_get(json_object_get(options->evaluation, "result"), "rows");
  char name[80];
  snprintf(name, sizeof name, "funnel:%.60s", options->surface);
  const json_t *row = row_named(rows, name), *random = row_named(rows, "random");
  if (row != NULL && random != NULL) {
    check_groups(groups, row);
    check_tail(tail, row, random);
    return;
  }
  snprintf(groups->reason, sizeof groups->reason,
           "no evaluation of %s among the runs: `winnow evaluate --data DIR` makes one", name);
  snprintf(tail->reason, sizeof tail->reason, "%s", groups->reason);
}

wn_status wn_check_data(wn_engine *engine, const wn_check_options *options, wn_check_report *report,
                        wn_error *err) {
  wn_status status;
  wn_dataset_builder *builder = wn_dataset_builder_create(&engine->serving->signals);
  if (builder == NULL) return wn_fail_memory(err);
  WN_TRY(wn_load_events(engine->store, 0, builder, NULL, err));
  wn_event_list events = {wn_dataset_builder_events(builder), wn_dataset_builder_count(builder)};
  WN_TRY(wn_check_probabilities(engine, options, events, report, err));
  WN_TRY(check_log(engine, events.data, events.len, report, err));
  WN_TRY(check_split(engine, events, report, err));
  check_evaluation(options, report);
cleanup:
  wn_dataset_builder_free(builder);
  return status;
}
