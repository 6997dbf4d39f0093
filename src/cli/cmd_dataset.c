/* winnow dataset: what a data set holds (describe), whether it carries an evaluation (audit), and
 * the set with its split as files (build). */
#include "cli/cli.h"

#include "cli/dataset_read.h"
#include "data/logged.h"
#include "funnel/expr.h"
#include "lab/audit.h"
#include "lab/dataset_files.h"
#include "lab/fingerprint.h"
#include "lab/near.h"
#include "lab/own_log.h"
#include "store/catalog.h"
#include "store/store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FEATURES_MAX 8
#define NEAR_SHOWN   10

static struct {
  const char *data, *config, *train, *test, *format, *items, *split, *exclude, *range;
  const char *negatives, *impressions, *out;
  wn_text_list dataset, features;
  uint64_t seed, negatives_len;
  double test_share, near;
  bool merge, json;
} opt = {.seed = 1, .test_share = 0.1, .negatives_len = 100};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the events and items of this data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "configuration; default DIR/winnow.yaml when it is there"},
    {"train", WN_OPT_TEXT, &opt.train, "FILE", "or these files: the train part, or everything"},
    {"test", WN_OPT_TEXT, &opt.test, "FILE",
     "the test part; without it --split is made of --train"},
    {"format", WN_OPT_TEXT, &opt.format, "NAME",
     "adjacency, sequence, pairs or ratings (`user item value time`)"},
    {"items", WN_OPT_TEXT, &opt.items, "FILE", "with --train: the catalogue as JSON lines"},
    {"split", WN_OPT_TEXT, &opt.split, "KIND",
     "time (default), leave-last-out, random, random-users, cold-items, cold-users"},
    {"test-share", WN_OPT_REAL, &opt.test_share, "SHARE",
     "of the events, users or items; default 0.1"},
    {"dataset", WN_OPT_LIST, &opt.dataset, "KEY=VALUE",
     "what of the train part is kept, for example active_events=10"},
    {"exclude", WN_OPT_TEXT, &opt.exclude, "EXPR",
     "leave out the items of this filter and their events (with --data)"},
    {"near", WN_OPT_REAL, &opt.near, "SHARE",
     "look for items so much alike in text and attributes, for example 0.9"},
    {"merge", WN_OPT_FLAG, &opt.merge, NULL, "make items found by --near one item"},
    {"range", WN_OPT_TEXT, &opt.range, "LO,HI", "values outside are label errors"},
    {"feature", WN_OPT_LIST, &opt.features, "item.NAME=FILE",
     "a feature to check, lines `id value`; also user.NAME=FILE"},
    {"impressions", WN_OPT_TEXT, &opt.impressions, "FILE",
     "check the propensities of these logged decisions (CSV)"},
    {"negatives", WN_OPT_TEXT, &opt.negatives, "HOW", "with build: uniform, popular or shown"},
    {"negatives-n", WN_OPT_UINT, &opt.negatives_len, "N", "of each test pair, default 100"},
    {"out", WN_OPT_TEXT, &opt.out, "FOLDER", "where build writes"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "of random splits and negatives, default 1"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"},
};
static const wn_command command = {
    "dataset",
    "what a data set holds, whether it carries an evaluation, and its split as files",
    "describe|audit|build --data DIR | --train FILE [--test FILE] --format NAME",
    "audit exits with 1 when a check fails. docs/dataset.md has the checks.",
    options,
    sizeof options / sizeof options[0]};

typedef struct job {
  wn_config config;
  wn_store *store;
  wn_catalog *catalog;
  wn_dataset_builder *train, *test;
  wn_item_file item_file;
  wn_item_source items;
  bool timed, ordered; /* times of a clock; each user's events in their order alone */
  uint32_t catalog_items;
  wn_content_ids ids;
  wn_near near;
  uint64_t excluded_items, excluded_events, merged_events;
  wn_dataset_options options;
  wn_split split;
  wn_event_list sides[2]; /* train and test events, as they were */
  wn_dataset dataset;     /* of train */
  wn_dataset_report report;
  wn_user_items shown;
  uint64_t dataset_hash, split_hash, fitted_hash;
  wn_audit audit;
  wn_dataset_written written;
  wn_meter meter;
} job;

static wn_event_list events_of(const wn_dataset_builder *builder) {
  if (builder == NULL) return (wn_event_list){NULL, 0};
  return (wn_event_list){wn_dataset_builder_events(builder), wn_dataset_builder_count(builder)};
}

/* --- reading --- */

static wn_status from_store(job *j, wn_error *err) {
  wn_status status;
  WN_TRY(wn_store_open(opt.data, WN_STORE_READ, &j->store, err));
  WN_TRY(wn_signals_bind(&j->config.signals, j->store, err));
  j->catalog = wn_catalog_create(wn_store_items(j->store));
  j->train = wn_dataset_builder_create(&j->config.signals);
  if (j->catalog == NULL || j->train == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_load_events(j->store, 0, j->train, &j->meter.progress, err));
  WN_TRY(wn_catalog_load(j->catalog, j->store, err));
  j->items = wn_store_item_source(j->store);
  j->ids = (wn_content_ids){wn_store_users(j->store), wn_store_items(j->store), &j->config.signals};
  j->catalog_items = wn_catalog_count(j->catalog);
  j->timed = true;
cleanup:
  return status;
}

static wn_status from_files(job *j, wn_error *err) {
  wn_cli_reader *reads = wn_cli_format(opt.format);
  wn_status status;
  if (reads == NULL)
    return wn_fail(err, WN_E_ARGUMENT, "format", "must be adjacency, sequence, pairs or ratings");
  j->train = wn_dataset_builder_create(&j->config.signals);
  j->test = wn_dataset_builder_create(&j->config.signals);
  if (j->train == NULL || j->test == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(reads(opt.train, j->train, err));
  WN_TRY(wn_cli_check_ids(j->train, "train", err));
  if (opt.test != NULL) WN_TRY(reads(opt.test, j->test, err));
  WN_TRY(wn_cli_check_ids(j->test, "test", err));
  j->timed = reads == wn_read_ratings;
  j->ordered = reads == wn_read_sequence;
  j->item_file = (wn_item_file){opt.items, INT32_MAX};
  if (opt.items != NULL) j->items = wn_item_file_source(&j->item_file);
cleanup:
  return status;
}

/* --- leaving out and merging --- */

/* Events without those of items in `gone`, items being called by their group. */
static wn_status rewrite(job *j, wn_dataset_builder **builder, const wn_bitset *gone,
                         wn_error *err) {
  const wn_event_list events = events_of(*builder);
  wn_dataset_builder *kept = wn_dataset_builder_create(&j->config.signals);
  wn_status status = kept != NULL ? WN_OK : wn_fail_memory(err);
  for (size_t i = 0; i < events.len && status == WN_OK; i++) {
    wn_event e = events.data[i];
    bool out = gone != NULL && wn_bitset_test(gone, e.item);
    j->excluded_events += out;
    if (out) continue;
    if (opt.merge && e.item < j->catalog_items && j->near.group[e.item] != e.item) {
      e.item = j->near.group[e.item];
      j->merged_events++;
    }
    status = wn_dataset_builder_add(kept, &e, err);
  }
  if (status != WN_OK) {
    wn_dataset_builder_free(kept);
    return status;
  }
  wn_dataset_builder_free(*builder);
  *builder = kept;
  return WN_OK;
}

static wn_status leave_out(job *j, wn_error *err) {
  wn_expr *filter = NULL;
  wn_bitset gone = {0};
  wn_status status = WN_OK;
  if (opt.exclude != NULL) {
    if (j->catalog == NULL)
      return wn_fail(err, WN_E_ARGUMENT, "exclude", "goes with --data: it reads the catalogue");
    WN_TRY(wn_expr_parse(wn_str_of(opt.exclude), "exclude", &filter, err));
    if (!wn_bitset_init(&gone, j->catalog_items)) WN_TRY(wn_fail_memory(err));
    WN_TRY(wn_expr_eval(filter, j->catalog, &gone, err));
    j->excluded_items = wn_bitset_count(&gone);
  }
  if (opt.near != 0) {
    if (j->items.scan == NULL)
      WN_TRY(wn_fail(err, WN_E_ARGUMENT, "items", "is missing: --near compares items' texts"));
    WN_TRY(wn_near_items(j->items, j->catalog_items, opt.near, &j->near, err));
  } else if (opt.merge) {
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "merge", "goes with --near SHARE"));
  }
  if (filter != NULL || opt.merge) {
    WN_TRY(rewrite(j, &j->train, filter != NULL ? &gone : NULL, err));
    if (j->test != NULL) WN_TRY(rewrite(j, &j->test, filter != NULL ? &gone : NULL, err));
  }
cleanup:
  if (filter != NULL) wn_expr_free(filter);
  wn_bitset_clear(&gone);
  return status;
}

/* --- the split --- */

static wn_status make_split(job *j, wn_error *err) {
  wn_split_options how = {
      .test_share = opt.test_share, .seed = opt.seed, .items = j->catalog_items, .keep_test = true};
  wn_status status = WN_OK;
  if (opt.test != NULL && opt.split != NULL)
    return wn_fail(err, WN_E_ARGUMENT, "split", "goes without --test");
  if (opt.test != NULL) {
    WN_TRY(wn_split_given(events_of(j->train), events_of(j->test), &j->config.signals, &j->split,
                          err));
    j->sides[0] = events_of(j->train);
    j->sides[1] = events_of(j->test);
    return status;
  }
  how.kind = opt.split != NULL ? wn_split_find(opt.split)
             : j->timed        ? WN_SPLIT_TIME
             : j->ordered      ? WN_SPLIT_LEAVE_LAST
                               : WN_SPLIT_RANDOM;
  if (how.kind == WN_SPLIT_KINDS || how.kind == WN_SPLIT_GIVEN)
    return wn_fail(
        err, WN_E_ARGUMENT, "split",
        "must be time, leave-last-out, random, random-users, cold-items or cold-users, got `%s`",
        opt.split);
  WN_TRY(wn_split_make(events_of(j->train), &j->config.signals, &how, &j->split, err));
  j->sides[0] = (wn_event_list){j->split.train, j->split.train_len};
  j->sides[1] = (wn_event_list){j->split.test_events, j->split.test_len};
cleanup:
  return status;
}

static wn_status hash_all(job *j, wn_error *err) {
  const wn_content_ids *ids = j->store != NULL ? &j->ids : NULL;
  uint64_t both[2];
  wn_status status;
  WN_TRY(wn_dataset_hash(events_of(j->train), ids, &both[0], err));
  WN_TRY(wn_dataset_hash(events_of(j->test), ids, &both[1], err));
  WN_TRY(wn_split_hash(&j->split, ids, &j->split_hash, err));
  j->dataset_hash = j->test != NULL ? both[0] + both[1] : both[0];
cleanup:
  return status;
}

static wn_status prepare(job *j, wn_error *err) {
  const wn_pairs_input in = {.events = j->split.train,
                             .count = j->split.train_len,
                             .signals = &j->config.signals,
                             .users = j->split.users,
                             .items = j->split.items};
  wn_status status;
  WN_TRY(wn_dataset_prepare(&in, &j->options, &j->dataset, &j->report, err));
  WN_TRY(wn_pairs_hash(&j->dataset, j->store != NULL ? &j->ids : NULL, &j->fitted_hash, err));
cleanup:
  return status;
}

/* --- the audit --- */

static wn_status read_range(wn_audit_sides *sides, wn_error *err) {
  const char *comma = opt.range != NULL ? strchr(opt.range, ',') : NULL;
  sides->value_min = sides->value_max = NAN;
  if (opt.range == NULL) return WN_OK;
  if (comma == NULL ||
      !wn_parse_double((wn_str){opt.range, (size_t)(comma - opt.range)}, &sides->value_min) ||
      !wn_parse_double(wn_str_of(comma + 1), &sides->value_max) ||
      !(sides->value_min < sides->value_max))
    return wn_fail(err, WN_E_ARGUMENT, "range", "must be LO,HI with LO < HI, got `%s`", opt.range);
  return WN_OK;
}

static wn_status audit_feature(job *j, const wn_audit_sides *sides, const char *what,
                               wn_error *err) {
  const char *equals = strchr(what, '=');
  bool of_items = strncmp(what, "item.", 5) == 0, of_users = strncmp(what, "user.", 5) == 0;
  char name[64];
  if (equals == NULL || (!of_items && !of_users))
    return wn_fail(err, WN_E_ARGUMENT, "feature",
                   "must be item.NAME=FILE or user.NAME=FILE, got `%s`", what);
  snprintf(name, sizeof name, "%.*s", (int)(equals - what - 5), what + 5);
  wn_audit_feature f = {name, of_users, NULL, of_users ? j->split.users : j->split.items};
  double *value = wn_reallocarray(NULL, (size_t)f.len + 1, sizeof *value);
  if (value == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < f.len; i++) value[i] = NAN;
  f.value = value;
  wn_status status = wn_dataset_read_feature(equals + 1, of_users ? j->ids.users : j->ids.items,
                                             f.len, value, err);
  if (status == WN_OK) status = wn_audit_feature_of(sides, &f, &j->audit, err);
  wn_free(value);
  return status;
}

/* Every number in the catalogue might have been counted on the log. */
static wn_status audit_attributes(job *j, const wn_audit_sides *sides, wn_error *err) {
  wn_status status = WN_OK;
  size_t columns = j->catalog != NULL ? wn_catalog_column_count(j->catalog) : 0;
  double *value = wn_reallocarray(NULL, (size_t)j->split.items + 1, sizeof *value);
  if (value == NULL) return wn_fail_memory(err);
  for (size_t c = 0; c < columns && status == WN_OK; c++) {
    const wn_column *column = wn_catalog_column_at(j->catalog, c);
    bool any = false;
    for (uint32_t i = 0; i < j->split.items; i++) {
      bool number = i < j->catalog_items && column->cells[i].kind == WN_ATTR_NUMBER + 1;
      value[i] = number ? column->cells[i].u.number : NAN;
      any |= number;
    }
    const wn_audit_feature f = {column->name, false, value, j->split.items};
    if (any) status = wn_audit_feature_of(sides, &f, &j->audit, err);
  }
  wn_free(value);
  return status;
}

/* A data directory's own impressions, if there are any. */
static wn_status audit_own(job *j, wn_error *err) {
  wn_own_log own;
  wn_own_log_options how;
  wn_error none = {0};
  wn_own_log_options_defaults(&how);
  wn_status status = wn_own_log_read(j->store, &j->config.signals, &how, &own, &none);
  if (status == WN_E_NOT_FOUND) return WN_OK;
  if (status != WN_OK) return wn_fail(err, status, none.field, "%s", none.message);
  status = wn_audit_own_propensities(&own, &j->audit, err);
  wn_own_log_clear(&own);
  return status;
}

static wn_status audit(job *j, wn_error *err) {
  wn_audit_sides sides = {j->sides[0], j->sides[1], j->split.kind, j->timed, NAN, NAN};
  wn_logged log = {0};
  wn_status status;
  WN_TRY(read_range(&sides, err));
  WN_TRY(wn_audit_split(&sides, &j->audit, err));
  WN_TRY(audit_attributes(j, &sides, err));
  for (size_t i = 0; i < opt.features.len; i++)
    WN_TRY(audit_feature(j, &sides, opt.features.data[i], err));
  if (j->store != NULL) WN_TRY(audit_own(j, err));
  if (opt.impressions == NULL) return WN_OK;
  WN_TRY(wn_logged_read(opt.impressions, NULL, 0, &log, err));
  WN_TRY(wn_audit_propensities(&log, "", false, &j->audit, err));
cleanup:
  wn_logged_clear(&log);
  return status;
}

/* --- building --- */

static wn_status build(job *j, wn_error *err) {
  static const char *const names[] = {"none", "uniform", "popular", "shown"};
  wn_dataset_files files = {.split = &j->split,
                            .dataset = &j->dataset,
                            .test = j->sides[1],
                            .users = j->ids.users,
                            .items = j->ids.items,
                            .negatives_len = (uint32_t)opt.negatives_len,
                            .shown = &j->shown,
                            .seed = opt.seed};
  int how = 0;
  if (opt.out == NULL) return wn_fail(err, WN_E_ARGUMENT, "out", "is missing: where to write");
  if (opt.negatives_len < 1 || opt.negatives_len > 100000)
    return wn_fail(err, WN_E_ARGUMENT, "negatives-n", "must be 1 to 100000");
  while (how < 4 && opt.negatives != NULL && strcmp(names[how], opt.negatives) != 0) how++;
  if (how == 4)
    return wn_fail(err, WN_E_ARGUMENT, "negatives", "must be uniform, popular or shown, got `%s`",
                   opt.negatives);
  files.negatives = (wn_negatives)how;
  wn_status status = files.negatives == WN_NEGATIVES_SHOWN
                         ? wn_dataset_read_shown(j->store, &j->split, &j->shown, err)
                         : WN_OK;
  return status == WN_OK ? wn_dataset_files_write(opt.out, &files, &j->written, err) : status;
}

/* --- printing --- */

static void put(wn_json *json, const char *key, uint64_t value) {
  wn_json_key(json, key);
  wn_json_int(json, (int64_t)value);
}

static void put_hash(wn_json *json, const char *key, uint64_t value) {
  char text[WN_HASH_TEXT];
  wn_hash_text(value, text);
  wn_json_key(json, key);
  wn_json_cstring(json, text);
}

static void item_name(const job *j, uint32_t item, wn_buf *out) {
  wn_str id = j->ids.items != NULL ? wn_dict_key(j->ids.items, item) : (wn_str){NULL, 0};
  if (id.ptr != NULL)
    wn_buf_printf(out, "%.*s", (int)id.len, id.ptr);
  else
    wn_buf_printf(out, "%" PRIu32, item);
}

static void near_json(const job *j, wn_json *json) {
  wn_buf name = {0};
  wn_json_key(json, "near");
  wn_json_object(json);
  put(json, "items_read", j->near.items_read);
  put(json, "pairs", j->near.len);
  put(json, "groups", j->near.groups);
  put(json, "grouped", j->near.grouped);
  wn_json_key(json, "most_alike");
  wn_json_array(json);
  for (size_t i = 0; i < j->near.len && i < NEAR_SHOWN; i++) {
    wn_json_array(json);
    for (int side = 0; side < 2; side++) {
      name.len = 0;
      item_name(j, side == 0 ? j->near.pairs[i].a : j->near.pairs[i].b, &name);
      wn_json_string(json, (wn_str){name.data, name.len});
    }
    wn_json_double(json, j->near.pairs[i].alike);
    wn_json_end_array(json);
  }
  wn_json_end_array(json);
  wn_json_end_object(json);
  wn_buf_clear(&name);
}

static void print_json(const job *j, bool built, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  put_hash(&json, "dataset_hash", j->dataset_hash);
  put_hash(&json, "split_hash", j->split_hash);
  put_hash(&json, "fitted_hash", j->fitted_hash);
  wn_json_key(&json, "split");
  wn_json_cstring(&json, wn_split_name(j->split.kind));
  put(&json, "users", j->split.users);
  put(&json, "items", j->split.items);
  put(&json, "train_events", j->sides[0].len);
  put(&json, "test_events", j->sides[1].len);
  put(&json, "test_pairs", j->split.test.ptr[j->split.users]);
  wn_json_key(&json, "first_ms");
  wn_json_int(&json, j->split.timeline.first_ms);
  wn_json_key(&json, "last_ms");
  wn_json_int(&json, j->split.timeline.last_ms);
  put(&json, "excluded_items", j->excluded_items);
  put(&json, "excluded_events", j->excluded_events);
  put(&json, "merged_events", j->merged_events);
  wn_json_key(&json, "dataset");
  wn_dataset_report_to_json(&j->report, &json);
  if (j->near.group != NULL) near_json(j, &json);
  if (j->audit.len > 0) {
    wn_json_key(&json, "audit");
    wn_audit_to_json(&j->audit, &json);
  }
  if (built) {
    wn_json_key(&json, "written");
    wn_json_object(&json);
    put(&json, "train_pairs", j->written.train_pairs);
    put(&json, "test_pairs", j->written.test_pairs);
    put(&json, "negative_lines", j->written.negative_lines);
    put(&json, "users_without_negatives", j->written.users_without_negatives);
    wn_json_end_object(&json);
  }
  wn_json_end_object(&json);
}

static void print_near(const job *j, wn_buf *out) {
  wn_buf_printf(out,
                "%zu pairs of items at least %.0f%% alike (of %" PRIu32 " with text), %" PRIu32
                " items in %" PRIu32 " groups%s\n",
                j->near.len, 100 * opt.near, j->near.items_read, j->near.grouped, j->near.groups,
                opt.merge ? ", merged" : "");
  for (size_t i = 0; i < j->near.len && i < NEAR_SHOWN; i++) {
    wn_buf_printf(out, "  %.2f  ", j->near.pairs[i].alike);
    item_name(j, j->near.pairs[i].a, out);
    wn_buf_str(out, "  ");
    item_name(j, j->near.pairs[i].b, out);
    wn_buf_char(out, '\n');
  }
}

static void print_audit(const job *j, wn_buf *out) {
  static const char *const states[] = {"ok", "WARN", "FAIL"};
  wn_table table;
  wn_table_init(&table, 4, 4);
  wn_table_cell(&table, "%s", "");
  wn_table_cell(&table, "check");
  wn_table_cell(&table, "count");
  wn_table_cell(&table, "reason");
  for (size_t i = 0; i < j->audit.len; i++) {
    const wn_audit_check *check = &j->audit.checks[i];
    wn_table_cell(&table, "%s", states[check->state]);
    wn_table_cell(&table, "%s", check->name);
    wn_table_cell(&table, "%" PRIu64, check->count);
    wn_table_cell(&table, "%s", check->reason);
  }
  wn_buf_char(out, '\n');
  wn_table_print(&table, out);
}

static void print_text(const job *j, bool built, wn_buf *out) {
  char dataset[WN_HASH_TEXT], split[WN_HASH_TEXT], fitted[WN_HASH_TEXT];
  wn_hash_text(j->dataset_hash, dataset);
  wn_hash_text(j->split_hash, split);
  wn_hash_text(j->fitted_hash, fitted);
  wn_buf_printf(out, "dataset %s, split %s (%s: %s)\n", dataset, split,
                wn_split_name(j->split.kind), j->split.why);
  wn_buf_printf(out, "%" PRIu32 " users, %" PRIu32 " items; train %zu events, test %zu events\n",
                j->split.users, j->split.items, j->sides[0].len, j->sides[1].len);
  if (j->timed)
    wn_buf_printf(out, "%.1f days of events\n",
                  (double)(j->split.timeline.last_ms - j->split.timeline.first_ms) / 86400000);
  if (opt.exclude != NULL)
    wn_buf_printf(out, "left out: %" PRIu64 " items by --exclude, %" PRIu64 " events\n",
                  j->excluded_items, j->excluded_events);
  wn_buf_printf(out, "kept of train (%s): ", fitted);
  wn_dataset_report_print(&j->report, out);
  wn_buf_char(out, '\n');
  if (j->near.group != NULL) print_near(j, out);
  if (j->audit.len > 0) print_audit(j, out);
  if (built)
    wn_buf_printf(out,
                  "%s: train.tsv %" PRIu64 " pairs, test.tsv %" PRIu64
                  " pairs, negatives.txt %" PRIu64 " lines (%" PRIu64 " users without any)\n",
                  opt.out, j->written.train_pairs, j->written.test_pairs, j->written.negative_lines,
                  j->written.users_without_negatives);
  out->len--; /* wn_cli_print ends the line */
}

/* --- the command --- */

static void clear(job *j) {
  wn_meter_end(&j->meter);
  wn_split_clear(&j->split);
  wn_dataset_clear(&j->dataset);
  wn_near_clear(&j->near);
  wn_free(j->shown.ptr);
  wn_free(j->shown.item);
  wn_dataset_builder_free(j->train);
  wn_dataset_builder_free(j->test);
  if (j->catalog != NULL) wn_catalog_free(j->catalog);
  wn_store_close(j->store);
  wn_config_clear(&j->config);
}

static wn_status write_about(const wn_buf *json, wn_error *err) {
  char path[4096];
  snprintf(path, sizeof path, "%s/dataset.json", opt.out);
  FILE *file = fopen(path, "w");
  bool good = file != NULL && fwrite(json->data, 1, json->len, file) == json->len;
  if (file != NULL && fclose(file) != 0) good = false;
  return good ? WN_OK : wn_fail_errno(err, "out", "cannot write %s", path);
}

static wn_status work(job *j, const char *what, wn_buf *out, wn_error *err) {
  bool builds = strcmp(what, "build") == 0;
  wn_buf about = {0};
  wn_status status;
  wn_meter_init(&j->meter);
  WN_TRY(wn_cli_config(opt.config, opt.data, &j->config, err));
  j->options = j->config.train.dataset;
  for (size_t i = 0; i < opt.dataset.len; i++)
    WN_TRY(wn_dataset_options_set(&j->options, opt.dataset.data[i], err));
  WN_TRY(opt.data != NULL ? from_store(j, err) : from_files(j, err));
  for (size_t i = 0; j->store == NULL && i < 2; i++) {
    const wn_event_list events = events_of(i == 0 ? j->train : j->test);
    for (size_t e = 0; e < events.len; e++)
      if (events.data[e].item >= j->catalog_items) j->catalog_items = events.data[e].item + 1;
  }
  WN_TRY(leave_out(j, err));
  WN_TRY(make_split(j, err));
  WN_TRY(hash_all(j, err));
  WN_TRY(prepare(j, err));
  if (strcmp(what, "describe") != 0) WN_TRY(audit(j, err));
  if (builds) WN_TRY(build(j, err));
  wn_meter_end(&j->meter);
  print_json(j, builds, &about);
  if (builds) WN_TRY(write_about(&about, err));
  if (opt.json)
    wn_buf_append(out, about.data, about.len);
  else
    print_text(j, builds, out);
cleanup:
  wn_buf_clear(&about);
  return status;
}

int wn_cmd_dataset(int argc, char **argv) {
  static job j;
  static wn_text_list rest;
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  if (rest.len != 1 || (strcmp(rest.data[0], "describe") != 0 &&
                        strcmp(rest.data[0], "audit") != 0 && strcmp(rest.data[0], "build") != 0))
    return wn_cli_usage(&command, "give one of describe, audit and build");
  if ((opt.data == NULL) == (opt.train == NULL))
    return wn_cli_usage(&command, "give --data DIR or --train FILE");
  wn_status done = work(&j, rest.data[0], &out, &err);
  bool failed = wn_audit_worst(&j.audit) == WN_GUARD_FAIL && strcmp(rest.data[0], "audit") == 0;
  clear(&j);
  if (done != WN_OK) {
    wn_buf_clear(&out);
    return wn_cli_fail(&command, &err);
  }
  status = wn_cli_print(&out);
  return status != 0 ? status : failed;
}
