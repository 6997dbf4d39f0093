/* winnow evaluate: on a data directory (split, train on the past, every model and the whole
 * funnel), or on given train and test files. */
#include "cli/cli.h"

#include "data/reader.h"
#include "lab/evaluate.h"
#include "lab/fingerprint.h"
#include "model/vectors_file.h"
#include "store/catalog.h"
#include "store/store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
  const char *data, *config, *split, *train, *test, *format, *surface, *k, *metrics;
  const char *items, *negatives, *candidates;
  wn_text_list models, set, dataset;
  uint64_t users, seed, threads, bootstrap;
  double test_share;
  bool no_funnel, json;
} opt = {.seed = 1, .bootstrap = 1000, .test_share = 0.1, .surface = "home"};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "evaluate on this data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "configuration; default DIR/winnow.yaml when it is there"},
    {"split", WN_OPT_TEXT, &opt.split, "KIND",
     "time (default with --data), leave-last-out, random, cold-items"},
    {"test-share", WN_OPT_REAL, &opt.test_share, "SHARE",
     "of the events, or of the items with cold-items; default 0.1"},
    {"candidates", WN_OPT_TEXT, &opt.candidates, "WHICH",
     "with cold-items: rank the held-out items alone (cold, default) or all"},
    {"dataset", WN_OPT_LIST, &opt.dataset, "KEY=VALUE",
     "what of the train part is fitted on, for example window_days=90"},
    {"users", WN_OPT_UINT, &opt.users, "N", "evaluate a sample of users, default 0: all"},
    {"model", WN_OPT_LIST, &opt.models, "NAME",
     "this model alone (and the baselines), also one that training leaves out; may be given again"},
    {"set", WN_OPT_LIST, &opt.set, "KEY=VALUE",
     "a parameter: of the one --model, or MODEL.KEY=VALUE"},
    {"surface", WN_OPT_TEXT, &opt.surface, "NAME", "the funnel to measure, default home"},
    {"no-funnel", WN_OPT_FLAG, &opt.no_funnel, NULL, "models alone"},
    {"k", WN_OPT_TEXT, &opt.k, "K,K,…", "cutoffs, default 10,20,50"},
    {"metrics", WN_OPT_TEXT, &opt.metrics, "NAME@K,…",
     "print these alone, for example recall@20,ndcg@20"},
    {"train", WN_OPT_TEXT, &opt.train, "FILE", "evaluate on files: the train part"},
    {"test", WN_OPT_TEXT, &opt.test, "FILE",
     "the test part; without it --split is made of --train"},
    {"format", WN_OPT_TEXT, &opt.format, "NAME",
     "adjacency (`user item item …`), sequence (`user item` in order of time), pairs"},
    {"items", WN_OPT_TEXT, &opt.items, "FILE",
     "with --train: the catalogue as JSON lines, ids being the files' numbers"},
    {"negatives", WN_OPT_TEXT, &opt.negatives, "FILE",
     "rank each test item among these alone (sampled metrics): `(user,item) item item …`"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "of the split, the sample and the models; default 1"},
    {"threads", WN_OPT_UINT, &opt.threads, "N", "default: all processors"},
    {"bootstrap", WN_OPT_UINT, &opt.bootstrap, "N", "resamples for the intervals, default 1000"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"},
};
static const wn_command command = {
    "evaluate",
    "split, train on the past, measure every model and the whole funnel",
    "--data DIR | --train FILE --test FILE --format adjacency",
    "Full ranking over the catalogue, what a user already has being masked; means over users with "
    "95% intervals\n"
    "(bootstrap over users), beside popularity and random. Definitions: docs/evaluation.md.",
    options,
    sizeof options / sizeof options[0]};

/* What a run holds; cleared as one. */
typedef struct run {
  wn_config config;
  wn_store *store;
  wn_catalog *catalog;
  wn_vectors_file vectors;
  wn_dataset_builder *train, *test, *negatives;
  wn_item_file items;
  wn_split split;
  wn_evaluate_options options;
  wn_content_ids ids;
  wn_meter meter;
} run;

/* The number at the start of `at`, up to the next comma; false when it is none from 1 to
 * WN_SLATE_MAX. */
static bool cutoff_of(const char *at, uint32_t *k) {
  int64_t number;
  if (!wn_parse_int64((wn_str){at, strcspn(at, ",")}, &number) || number < 1 ||
      number > WN_SLATE_MAX)
    return false;
  *k = (uint32_t)number;
  return true;
}

static bool add_cutoff(wn_evaluate_options *o, uint32_t k) {
  for (size_t c = 0; c < o->cutoffs_len; c++)
    if (o->cutoffs[c] == k) return true;
  if (o->cutoffs_len == WN_CUTOFFS_MAX) return false;
  o->cutoffs[o->cutoffs_len++] = k;
  return true;
}

static wn_status bad_metric(const char *at, wn_error *err) {
  char names[512] = "";
  size_t len = 0;
  for (int m = 0; m < WN_METRICS && len < sizeof names; m++)
    len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", m > 0 ? ", " : "",
                            wn_metric_about((wn_metric)m)->name);
  return wn_fail(
      err, WN_E_ARGUMENT, "metrics",
      "`%.*s`: must be up to %d different K from 1 to %d after NAME@ (auc, gauc and pr-auc "
      "alone); the names are %s",
      (int)strcspn(at, ","), at, WN_CUTOFFS_MAX, WN_SLATE_MAX, names);
}

/* NAME@K,NAME@K,…: the first one that is a mean over users is what rows are compared by. */
static wn_status metrics(wn_evaluate_options *o, wn_error *err) {
  bool primary = false;
  o->cutoffs_len = 0;
  o->metrics = 0;
  for (const char *at = opt.metrics;; at++) {
    size_t len = strcspn(at, ","), name = strcspn(at, "@,");
    wn_metric metric = wn_metric_find((wn_str){at, name});
    uint32_t k = 0;
    if (metric == WN_METRICS || wn_metric_has_cutoff(metric) != (name < len))
      return bad_metric(at, err);
    if (name < len && (!cutoff_of(at + name + 1, &k) || !add_cutoff(o, k)))
      return bad_metric(at, err);
    o->metrics |= WN_METRIC_BIT(metric);
    if (!primary && metric < WN_METRICS_OF_USERS) o->primary = metric, primary = true;
    at += len;
    if (*at == '\0') break;
  }
  if (o->cutoffs_len == 0) o->cutoffs[o->cutoffs_len++] = 10;
  return WN_OK;
}

static wn_status cutoffs(wn_evaluate_options *o, wn_error *err) {
  if (opt.metrics != NULL && strcmp(opt.metrics, "all") != 0) return metrics(o, err);
  if (opt.metrics != NULL) o->metrics = WN_METRICS_ALL;
  if (opt.k == NULL) return WN_OK;
  o->cutoffs_len = 0;
  for (const char *at = opt.k;; at++) {
    uint32_t k;
    if (!cutoff_of(at, &k) || !add_cutoff(o, k))
      return wn_fail(err, WN_E_ARGUMENT, "k",
                     "must be up to %d of K with commas, K from 1 to %d, got `%s`", WN_CUTOFFS_MAX,
                     WN_SLATE_MAX, opt.k);
    at += strcspn(at, ",");
    if (*at == '\0') return WN_OK;
  }
}

static wn_status split_kind(wn_split_kind *kind, wn_error *err) {
  static const struct {
    const char *name;
    wn_split_kind kind;
  } kinds[] = {{"time", WN_SPLIT_TIME},
               {"leave-last-out", WN_SPLIT_LEAVE_LAST},
               {"random", WN_SPLIT_RANDOM},
               {"cold-items", WN_SPLIT_COLD_ITEMS}};
  *kind = WN_SPLIT_TIME;
  for (size_t i = 0; i < 4 && opt.split != NULL; i++)
    if (strcmp(opt.split, kinds[i].name) == 0) {
      *kind = kinds[i].kind;
      return WN_OK;
    }
  return opt.split == NULL
             ? WN_OK
             : wn_fail(err, WN_E_ARGUMENT, "split",
                       "must be time, leave-last-out, random or cold-items, got `%s`", opt.split);
}

/* --candidates and --dataset. */
static wn_status choose_data(wn_evaluate_options *o, wn_error *err) {
  bool cold_items = opt.split != NULL && strcmp(opt.split, "cold-items") == 0;
  o->rank_all = opt.candidates != NULL && strcmp(opt.candidates, "all") == 0;
  if (opt.candidates != NULL && !o->rank_all && strcmp(opt.candidates, "cold") != 0)
    return wn_fail(err, WN_E_ARGUMENT, "candidates", "must be cold or all, got `%s`",
                   opt.candidates);
  if (opt.candidates != NULL && !cold_items)
    return wn_fail(err, WN_E_ARGUMENT, "candidates", "goes with --split cold-items alone");
  for (size_t i = 0; i < opt.dataset.len; i++) {
    wn_status status = wn_dataset_options_set(&o->train.dataset, opt.dataset.data[i], err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static wn_event_list events_of(const wn_dataset_builder *builder) {
  return (wn_event_list){wn_dataset_builder_events(builder), wn_dataset_builder_count(builder)};
}

static wn_status make_split(run *r, wn_error *err) {
  wn_split_options how = {.test_share = opt.test_share,
                          .seed = opt.seed,
                          .items = r->catalog != NULL ? wn_catalog_count(r->catalog) : 0};
  wn_status status = split_kind(&how.kind, err);
  if (status != WN_OK) return status;
  return wn_split_make(events_of(r->train), &r->config.signals, &how, &r->split, err);
}

static wn_status from_store(run *r, wn_error *err) {
  wn_status status;
  WN_TRY(wn_store_open(opt.data, WN_STORE_READ, &r->store, err));
  WN_TRY(wn_signals_bind(&r->config.signals, r->store, err));
  r->catalog = wn_catalog_create(wn_store_items(r->store));
  r->train = wn_dataset_builder_create(&r->config.signals);
  if (r->catalog == NULL || r->train == NULL) WN_TRY(wn_fail_memory(err));
  /* The catalogue last: it then knows every item of the events, whatever a server adds meanwhile.
   */
  WN_TRY(wn_load_events(r->store, r->train, &r->meter.progress, err));
  WN_TRY(wn_catalog_load(r->catalog, r->store, err));
  WN_TRY(make_split(r, err));
  r->ids = (wn_content_ids){wn_store_users(r->store), wn_store_items(r->store), &r->config.signals};
  r->options.ids = &r->ids;
  WN_TRY(wn_dataset_hash(events_of(r->train), &r->ids, &r->options.dataset_hash, err));
  r->options.catalog = r->catalog;
  r->options.items_source = wn_store_item_source(r->store);
  r->options.created_ms = wn_catalog_created(r->catalog);
  WN_TRY(wn_vectors_open(opt.data, wn_store_items(r->store), wn_catalog_count(r->catalog),
                         &r->vectors, err));
  r->options.vectors = r->vectors.vectors;
  if (!opt.no_funnel && opt.models.len == 0) {
    r->options.surface = wn_surfaces_find(&r->config.surfaces, wn_str_of(opt.surface));
    if (r->options.surface == NULL)
      WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "surface", "there is no surface `%s`", opt.surface));
  }
cleanup:
  return status;
}

static wn_status check_files(bool ordered, wn_error *err) {
  bool unordered_split = opt.split != NULL &&
                         (strcmp(opt.split, "random") == 0 || strcmp(opt.split, "cold-items") == 0);
  if (opt.test != NULL && opt.split != NULL)
    return wn_fail(err, WN_E_ARGUMENT, "split",
                   "goes without --test: the split is given by the two files");
  if (opt.test == NULL && !ordered && !unordered_split)
    return wn_fail(err, WN_E_ARGUMENT, "test",
                   "is missing (such a file has no order to split by, other than random and "
                   "cold-items)");
  if (opt.items == NULL && opt.split != NULL && strcmp(opt.split, "cold-items") == 0)
    return wn_fail(err, WN_E_ARGUMENT, "items",
                   "is missing: nothing but its text says anything of a cold item");
  return WN_OK;
}

static wn_status read_negatives(run *r, wn_error *err) {
  wn_status status;
  r->negatives = wn_dataset_builder_create(&r->config.signals);
  if (r->negatives == NULL) return wn_fail_memory(err);
  WN_TRY(wn_read_negatives(opt.negatives, r->negatives, err));
  WN_TRY(wn_cli_check_ids(r->negatives, "negatives", err));
  WN_TRY(wn_split_restrict(&r->split, events_of(r->negatives), err));
cleanup:
  return status;
}

static wn_status from_files(run *r, wn_error *err) {
  wn_cli_reader *reads = wn_cli_format(opt.format);
  wn_status status;
  if (reads == NULL)
    return wn_fail(err, WN_E_ARGUMENT, "format", "must be adjacency, sequence or pairs");
  WN_TRY(check_files(reads == wn_read_sequence, err));
  r->train = wn_dataset_builder_create(&r->config.signals);
  r->test = wn_dataset_builder_create(&r->config.signals);
  if (r->train == NULL || r->test == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(reads(opt.train, r->train, err));
  WN_TRY(wn_cli_check_ids(r->train, "train", err));
  if (opt.test != NULL) {
    WN_TRY(reads(opt.test, r->test, err));
    WN_TRY(wn_cli_check_ids(r->test, "test", err));
    WN_TRY(wn_split_given(events_of(r->train), events_of(r->test), &r->config.signals, &r->split,
                          err));
  } else {
    if (opt.split == NULL) opt.split = "leave-last-out";
    WN_TRY(make_split(r, err));
  }
  if (opt.negatives != NULL) WN_TRY(read_negatives(r, err));
  uint64_t both[2];
  WN_TRY(wn_dataset_hash(events_of(r->train), NULL, &both[0], err));
  WN_TRY(wn_dataset_hash(events_of(r->test), NULL, &both[1], err));
  r->options.dataset_hash = both[0] + both[1];
  r->items = (wn_item_file){opt.items, r->split.items};
  if (opt.items != NULL) r->options.items_source = wn_item_file_source(&r->items);
cleanup:
  return status;
}

/* --- printing --- */

static void print_metrics(const wn_evaluation *e, wn_buf *out) {
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  if (e->sampled) {
    wn_json_key(&j, "sampled");
    wn_json_cstring(&j, e->ranking);
  }
  for (size_t i = 0; i < e->rows_len; i++) {
    wn_json_key(&j, e->rows[i].name);
    wn_json_object(&j);
    for (const char *at = opt.metrics; at != NULL && *at != '\0';) {
      size_t len = strcspn(at, ","), name = strcspn(at, "@");
      uint32_t k = (uint32_t)strtoul(at + name + (name < len), NULL, 10);
      wn_metric metric = wn_metric_find((wn_str){at, name < len ? name : len});
      double value = NAN;
      for (size_t c = 0; c < e->cutoffs_len; c++)
        if (e->rows[i].at[c].k == k || !wn_metric_has_cutoff(metric))
          value = c == 0 || isnan(value) ? e->rows[i].at[c].of[metric].mean : value;
      wn_json_key_str(&j, (wn_str){at, len});
      wn_json_double(&j, value);
      at += len + (at[len] == ',');
    }
    wn_json_end_object(&j);
  }
  wn_json_end_object(&j);
}

static void print_head(const wn_evaluation *e, wn_buf *out) {
  static const char *const names[] = {"by time", "leave last out", "given", "random", "cold items"};
  wn_buf_printf(out, "split %s: %s\n", names[e->kind], e->why);
  wn_buf_printf(out,
                "%" PRIu32 " users, %" PRIu32 " items; train: %" PRIu64 " events, %" PRIu64
                " pairs; test: %" PRIu64 " pairs (%" PRIu64 " with items that train never saw)\n",
                e->users, e->items, e->train_events, e->train_pairs, e->test_pairs,
                e->cold_test_pairs);
  wn_buf_printf(out,
                "evaluated: %" PRIu64 " users; left out: %" PRIu64 " without a past, %" PRIu64
                " without a relevant test item, %" PRIu64 " not sampled\n",
                e->users_evaluated, e->users_cold, e->users_without_relevant, e->users_not_sampled);
  if (e->sampled)
    wn_buf_printf(out, "SAMPLED METRICS over %s (%.1f items on average)\n", e->ranking, e->choices);
  else if (e->kind == WN_SPLIT_COLD_ITEMS)
    wn_buf_printf(out, "ranked: %s, %.0f items\n", e->ranking, e->choices);
  char dataset[WN_HASH_TEXT], split[WN_HASH_TEXT];
  wn_hash_text(e->dataset_hash, dataset);
  wn_hash_text(e->split_hash, split);
  wn_buf_printf(out, "dataset %s, split %s\n", dataset, split);
  if (!e->dataset_cut) return;
  wn_dataset_report_print(&e->dataset, out);
  wn_buf_char(out, '\n');
}

static void print_cutoff(const wn_evaluation *e, size_t c, wn_buf *out) {
  wn_table table;
  const char *head[] = {"model",    "NDCG", "95%", "recall",   "95%",  "precision",
                        "hit rate", "MRR",  "MAP", "coverage", "fit s"};
  wn_table_init(&table, 11, 0x7FE);
  for (size_t i = 0; i < 11; i++)
    wn_table_cell(&table, i == 0 ? "%s @%u%s" : "%s", head[i], e->rows[0].at[c].k,
                  e->sampled ? " (sampled)" : "");
  for (size_t i = 0; i < e->rows_len; i++) {
    const wn_cutoff_result *at = &e->rows[i].at[c];
    wn_table_cell(&table, "%s", e->rows[i].name);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_NDCG].mean);
    wn_table_cell(&table, "%.4f–%.4f", at->of[WN_METRIC_NDCG].low, at->of[WN_METRIC_NDCG].high);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_RECALL].mean);
    wn_table_cell(&table, "%.4f–%.4f", at->of[WN_METRIC_RECALL].low, at->of[WN_METRIC_RECALL].high);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_PRECISION].mean);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_HIT].mean);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_MRR].mean);
    wn_table_cell(&table, "%.4f", at->of[WN_METRIC_MAP].mean);
    wn_table_cell(&table, "%.1f%%", 100 * at->of[WN_METRIC_COVERAGE].mean);
    wn_table_cell(&table, e->rows[i].fit_seconds > 0 ? "%.2f" : "-", e->rows[i].fit_seconds);
  }
  wn_buf_char(out, '\n');
  wn_table_print(&table, out);
}

static void print_guards(const wn_evaluation *e, wn_buf *out) {
  static const char *const states[] = {"ok", "WARN", "FAIL"};
  wn_buf_char(out, '\n');
  for (size_t i = 0; i < e->guards_len; i++)
    wn_buf_printf(out, "%-4s  %s: %s\n", states[e->guards[i].state], e->guards[i].name,
                  e->guards[i].reason);
}

static void print(const wn_evaluation *e, wn_buf *out) {
  if (opt.metrics != NULL && strcmp(opt.metrics, "all") != 0) {
    print_metrics(e, out);
    return;
  }
  if (opt.json) {
    wn_evaluation_to_json(e, out);
    return;
  }
  print_head(e, out);
  for (size_t c = 0; c < e->cutoffs_len; c++) print_cutoff(e, c, out);
  print_guards(e, out);
  out->len--; /* wn_cli_print ends the line */
}

static wn_status evaluate(run *r, wn_buf *out, wn_error *err) {
  static wn_evaluation evaluation; /* large; zeros: cleared whatever happens */
  wn_status status;
  wn_meter_init(&r->meter);
  WN_TRY(wn_cli_config(opt.config, opt.data, &r->config, err));
  wn_evaluate_options_defaults(&r->options);
  r->options.train = r->config.train;
  r->options.train.seed = opt.seed;
  r->options.train.threads = (int)opt.threads;
  r->options.seed = opt.seed;
  r->options.bootstrap = (uint32_t)opt.bootstrap;
  r->options.users_max = (uint32_t)opt.users;
  r->options.progress = &r->meter.progress;
  WN_TRY(cutoffs(&r->options, err));
  WN_TRY(wn_cli_choose_models(&r->options.train, &opt.models, &opt.set, err));
  WN_TRY(choose_data(&r->options, err));
  WN_TRY(opt.data != NULL ? from_store(r, err) : from_files(r, err));
  WN_TRY(wn_evaluate(&r->split, &r->config.signals, &r->options, &evaluation, err));
  wn_meter_end(&r->meter);
  print(&evaluation, out);
cleanup:
  wn_meter_end(&r->meter);
  wn_evaluation_clear(&evaluation);
  wn_split_clear(&r->split);
  if (r->train != NULL) wn_dataset_builder_free(r->train);
  if (r->test != NULL) wn_dataset_builder_free(r->test);
  if (r->negatives != NULL) wn_dataset_builder_free(r->negatives);
  if (r->catalog != NULL) wn_catalog_free(r->catalog);
  wn_vectors_close(&r->vectors);
  wn_store_close(r->store);
  wn_config_clear(&r->config);
  return status;
}

int wn_cmd_evaluate(int argc, char **argv) {
  static run r;
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, NULL);
  if (status >= 0) return status;
  if ((opt.data == NULL) == (opt.train == NULL))
    return wn_cli_usage(&command, "give --data DIR or --train FILE");
  if (opt.train == NULL && (opt.items != NULL || opt.negatives != NULL || opt.format != NULL))
    return wn_cli_usage(&command, "--items, --negatives and --format go with --train");
  if (opt.threads > 1024 || opt.users > UINT32_MAX || opt.bootstrap > 1000000)
    return wn_cli_usage(
        &command, "--threads takes up to 1024, --users up to 2^32 - 1, --bootstrap up to 1000000");
  wn_status done = evaluate(&r, &out, &err);
  if (done == WN_OK) return wn_cli_print(&out);
  wn_buf_clear(&out);
  return wn_cli_fail(&command, &err);
}
