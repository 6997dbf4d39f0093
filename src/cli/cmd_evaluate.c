/* winnow evaluate: on a data directory (split, train on the past, every model and the whole
 * funnel), or on given train and test files. */
#include "cli/cli.h"

#include "data/reader.h"
#include "lab/evaluate.h"
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

/* --k, or the K of each NAME@K of --metrics. */
static wn_status cutoffs(wn_evaluate_options *o, wn_error *err) {
  const char *list = opt.metrics != NULL ? opt.metrics : opt.k;
  if (list == NULL) return WN_OK;
  o->cutoffs_len = 0;
  for (const char *at = list;; at++) {
    uint32_t k;
    if (opt.metrics != NULL) at += strcspn(at, "@,") + (at[strcspn(at, "@,")] == '@');
    if (!cutoff_of(at, &k) || !add_cutoff(o, k))
      return wn_fail(err, WN_E_ARGUMENT, opt.metrics != NULL ? "metrics" : "k",
                     "must be up to %d of %s with commas, K from 1 to %d, got `%s`", WN_CUTOFFS_MAX,
                     opt.metrics != NULL ? "NAME@K" : "K", WN_SLATE_MAX, list);
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
  r->items = (wn_item_file){opt.items, r->split.items};
  if (opt.items != NULL) r->options.items_source = wn_item_file_source(&r->items);
cleanup:
  return status;
}

/* --- printing --- */

static const wn_interval *metric_of(const wn_cutoff_result *at, const char *name, size_t len) {
  const struct {
    const char *name;
    const wn_interval *value;
  } all[] = {{"ndcg", &at->ndcg}, {"recall", &at->recall}, {"precision", &at->precision},
             {"hit", &at->hit},   {"mrr", &at->mrr},       {"map", &at->map}};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strlen(all[i].name) == len && memcmp(all[i].name, name, len) == 0) return all[i].value;
  return NULL;
}

static wn_status print_metrics(const wn_evaluation *e, wn_buf *out, wn_error *err) {
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
      const wn_interval *value = NULL;
      for (size_t c = 0; c < e->cutoffs_len; c++)
        if (e->rows[i].at[c].k == k) value = metric_of(&e->rows[i].at[c], at, name);
      if (value == NULL || name >= len)
        return wn_fail(err, WN_E_ARGUMENT, "metrics",
                       "`%.*s`: must be ndcg, recall, precision, hit, mrr or map, @, and K",
                       (int)len, at);
      wn_json_key_str(&j, (wn_str){at, len});
      wn_json_double(&j, value->mean);
      at += len + (at[len] == ',');
    }
    wn_json_end_object(&j);
  }
  wn_json_end_object(&j);
  return WN_OK;
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
    wn_table_cell(&table, "%.4f", at->ndcg.mean);
    wn_table_cell(&table, "%.4f–%.4f", at->ndcg.low, at->ndcg.high);
    wn_table_cell(&table, "%.4f", at->recall.mean);
    wn_table_cell(&table, "%.4f–%.4f", at->recall.low, at->recall.high);
    wn_table_cell(&table, "%.4f", at->precision.mean);
    wn_table_cell(&table, "%.4f", at->hit.mean);
    wn_table_cell(&table, "%.4f", at->mrr.mean);
    wn_table_cell(&table, "%.4f", at->map.mean);
    wn_table_cell(&table, "%.1f%%", 100 * at->coverage);
    wn_table_cell(&table, e->rows[i].fit_seconds > 0 ? "%.2f" : "-", e->rows[i].fit_seconds);
  }
  wn_buf_char(out, '\n');
  wn_table_print(&table, out);
}

static wn_status print(const wn_evaluation *e, wn_buf *out, wn_error *err) {
  if (opt.metrics != NULL) return print_metrics(e, out, err);
  if (opt.json) {
    wn_evaluation_to_json(e, out);
    return WN_OK;
  }
  print_head(e, out);
  for (size_t c = 0; c < e->cutoffs_len; c++) print_cutoff(e, c, out);
  out->len--; /* wn_cli_print ends the line */
  return WN_OK;
}

static wn_status evaluate(run *r, wn_buf *out, wn_error *err) {
  static wn_evaluation evaluation; /* large */
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
  WN_TRY(print(&evaluation, out, err));
cleanup:
  wn_meter_end(&r->meter);
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
