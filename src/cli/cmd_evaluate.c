/* winnow evaluate: on a data directory (split, train on the past, every model and the whole
 * funnel), or on given train and test files. */
#include "cli/cli.h"

#include "cli/evaluate_predictions.h"
#include "cli/report.h"
#include "data/reader.h"
#include "lab/evaluate.h"
#include "lab/fingerprint.h"
#include "lab/per_user.h"
#include "lab/run_file.h"
#include "model/vectors_file.h"
#include "store/catalog.h"
#include "store/store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
  const char *report, *incumbent;
  const char *data, *config, *split, *train, *test, *format, *experiment, *k, *metrics;
  const char *items, *negatives, *candidates;
  const char *compat, *per_user, *predictions;
  wn_text_list models, surfaces, set, dataset, runs, slices, map;
  uint64_t users, seed, threads, bootstrap, protocols;
  double test_share;
  bool no_funnel, json;
} opt = {
    .seed = 1,
    .bootstrap = 1000,
    .test_share = 0.1,
};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "evaluate on this data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "configuration; default DIR/winnow.yaml when it is there"},
    {"split", WN_OPT_TEXT, &opt.split, "KIND",
     "time (default with --data), leave-last-out, random, random-users, cold-items, cold-users"},
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
    {"surface", WN_OPT_LIST, &opt.surfaces, "NAME",
     "the funnel to measure, default home; may be given again"},
    {"experiment", WN_OPT_TEXT, &opt.experiment, "NAME",
     "measure the first surface as each arm of this experiment has it, too"},
    {"no-funnel", WN_OPT_FLAG, &opt.no_funnel, NULL, "models alone"},
    {"k", WN_OPT_TEXT, &opt.k, "K,K,…", "cutoffs, default 10,20,50"},
    {"metrics", WN_OPT_TEXT, &opt.metrics, "NAME@K,…",
     "print these alone, for example recall@20,ndcg@20"},
    {"train", WN_OPT_TEXT, &opt.train, "FILE", "evaluate on files: the train part"},
    {"test", WN_OPT_TEXT, &opt.test, "FILE",
     "the test part; without it --split is made of --train"},
    {"format", WN_OPT_TEXT, &opt.format, "NAME",
     "adjacency (`user item item …`), sequence (`user item` in order of time), pairs, ratings "
     "(`user item value time`)"},
    {"items", WN_OPT_TEXT, &opt.items, "FILE",
     "with --train: the catalogue as JSON lines, ids being the files' numbers"},
    {"negatives", WN_OPT_TEXT, &opt.negatives, "FILE",
     "rank each test item among these alone (sampled metrics): `(user,item) item item …`"},
    {"run", WN_OPT_LIST, &opt.runs, "FILE",
     "measure these recommendations: `user item score`, `user item` or a TREC run"},
    {"predictions", WN_OPT_TEXT, &opt.predictions, "FILE",
     "measure what was predicted against what came true: a table with `label` and `probability` or "
     "`score`"},
    {"map", WN_OPT_LIST, &opt.map, "FIELD=COLUMN",
     "with --predictions: where probability, score, label and user stand"},
    {"protocols", WN_OPT_UINT, &opt.protocols, "1|2",
     "run the models under a second split, too; default 2 with --data and no --model, else 1"},
    {"compat", WN_OPT_TEXT, &opt.compat, "TOOL",
     "also what trec_eval, ranx, recbole, lenskit or rectools would print"},
    {"slice", WN_OPT_LIST, &opt.slices, "item.ATTR",
     "slices by an attribute of items, of users (user.ATTR), by a column of --predictions"},
    {"per-user", WN_OPT_TEXT, &opt.per_user, "FILE",
     "write each user's value, for `winnow lab compare`"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "of the split, the sample and the models; default 1"},
    {"threads", WN_OPT_UINT, &opt.threads, "N", "default: all processors"},
    {"bootstrap", WN_OPT_UINT, &opt.bootstrap, "N", "resamples for the intervals, default 1000"},
    {"report", WN_OPT_TEXT, &opt.report, "FILE.html", "also write a page with charts"},
    {"incumbent", WN_OPT_TEXT, &opt.incumbent, "NAME",
     "the report's row to compare with; default: the funnel's"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"},
};
static const wn_command command = {
    "evaluate",
    "split, train on the past, measure every model and the whole funnel",
    "--data DIR | --train FILE --test FILE --format adjacency | --predictions FILE",
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
  wn_arm_surface *arms;
  wn_dataset_builder *train, *test, *negatives;
  wn_item_file items;
  wn_split split;
  wn_evaluate_options options;
  wn_content_ids ids;
  wn_run_file runs[WN_GIVEN_MAX];
  wn_given_lists given[WN_GIVEN_MAX];
  wn_labels item_labels[WN_ATTRIBUTES_MAX], user_labels[WN_ATTRIBUTES_MAX];
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
  if (opt.metrics == NULL && opt.report != NULL)
    o->metrics = WN_METRICS_ALL & ~WN_METRICS_OF_SCORES; /* those need everything's scores */
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
  *kind = opt.split != NULL ? wn_split_find(opt.split) : WN_SPLIT_TIME;
  if (*kind < WN_SPLIT_KINDS && *kind != WN_SPLIT_GIVEN) return WN_OK;
  return wn_fail(
      err, WN_E_ARGUMENT, "split",
      "must be time, leave-last-out, random, random-users, cold-items or cold-users, got `%s`",
      opt.split);
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

/* --compat; with --run and no --model nothing is fitted but the baselines. */
static wn_status choose_compat(wn_evaluate_options *o, wn_error *err) {
  if (opt.compat != NULL) o->compat = wn_compat_find(opt.compat);
  if (o->compat == WN_COMPAT_TOOLS)
    return wn_fail(err, WN_E_ARGUMENT, "compat",
                   "must be trec_eval, ranx, recbole, lenskit or rectools, got `%s`", opt.compat);
  for (size_t m = 0; opt.runs.len > 0 && opt.models.len == 0 && m < o->train.models_len; m++)
    o->train.models[m].left_out = true, o->train.models[m].automatic = false;
  return WN_OK;
}

static wn_event_list events_of(const wn_dataset_builder *builder) {
  return (wn_event_list){wn_dataset_builder_events(builder), wn_dataset_builder_count(builder)};
}

static wn_split_options split_options(const run *r) {
  return (wn_split_options){.test_share = opt.test_share,
                            .seed = opt.seed,
                            .items = r->catalog != NULL ? wn_catalog_count(r->catalog) : 0};
}

static wn_status make_split(run *r, wn_error *err) {
  wn_split_options how = split_options(r);
  wn_status status = split_kind(&how.kind, err);
  if (status != WN_OK) return status;
  return wn_split_make(events_of(r->train), &r->config.signals, &how, &r->split, err);
}

/* --run: recommendations made elsewhere. */
static wn_status read_runs(run *r, wn_error *err) {
  const wn_dict *users = r->store != NULL ? wn_store_users(r->store) : NULL;
  const wn_dict *items = r->store != NULL ? wn_store_items(r->store) : NULL;
  if (opt.runs.len > WN_GIVEN_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "run", "at most %d files", WN_GIVEN_MAX);
  for (size_t i = 0; i < opt.runs.len; i++) {
    wn_run_file *file = &r->runs[i];
    wn_status status = wn_run_file_read(opt.runs.data[i], users, items, &r->split, file, err);
    if (status != WN_OK) return status;
    r->given[i] = file->given;
    if (file->users_unknown + file->items_unknown + file->repeated > 0)
      fprintf(stderr,
              "%s: %" PRIu64 " users and %" PRIu64 " lines' items are not in the data, %" PRIu64
              " lines repeat an item\n",
              opt.runs.data[i], file->users_unknown, file->items_unknown, file->repeated);
  }
  r->options.given = r->given;
  r->options.given_len = opt.runs.len;
  return WN_OK;
}

static wn_status add_user(void *ctx, wn_user_ix ix, const wn_user_record *user, wn_error *err) {
  return wn_labels_builder_add(ctx, ix, &user->attrs, err);
}

static wn_status label_users(run *r, const char *attribute, wn_labels *out, wn_error *err) {
  if (r->store == NULL)
    return wn_fail(err, WN_E_ARGUMENT, "slice", "attributes of users are in a data directory");
  wn_labels_builder *b = wn_labels_builder_create(attribute, r->split.users);
  if (b == NULL) return wn_fail_memory(err);
  wn_status status = wn_store_scan_users(r->store, add_user, b, err);
  if (status == WN_OK) status = wn_labels_builder_finish(b, out, err);
  wn_labels_builder_free(b);
  return status;
}

/* --slice: item.ATTR and user.ATTR. */
static wn_status read_slices(run *r, wn_error *err) {
  wn_evaluate_options *o = &r->options;
  wn_status status = WN_OK;
  for (size_t i = 0; i < opt.slices.len && status == WN_OK; i++) {
    const char *what = opt.slices.data[i], *dot = strchr(what, '.');
    bool of_items = strncmp(what, "item.", 5) == 0, of_users = strncmp(what, "user.", 5) == 0;
    if (!of_items && !of_users)
      return wn_fail(err, WN_E_ARGUMENT, "slice", "must be item.ATTR or user.ATTR, got `%s`", what);
    if ((of_items ? o->item_labels_len : o->user_labels_len) == WN_ATTRIBUTES_MAX)
      return wn_fail(err, WN_E_ARGUMENT, "slice", "at most %d of items and of users",
                     WN_ATTRIBUTES_MAX);
    if (of_items && o->items_source.scan == NULL)
      return wn_fail(err, WN_E_ARGUMENT, "slice", "attributes of items come with --items FILE");
    status = of_items ? wn_labels_of_items(o->items_source, dot + 1, r->split.items,
                                           &r->item_labels[o->item_labels_len], err)
                      : label_users(r, dot + 1, &r->user_labels[o->user_labels_len], err);
    o->item_labels_len += status == WN_OK && of_items;
    o->user_labels_len += status == WN_OK && of_users;
  }
  o->item_labels = r->item_labels;
  o->user_labels = r->user_labels;
  return status;
}

static wn_status choose_surfaces(run *r, wn_error *err) {
  wn_evaluate_options *o = &r->options;
  size_t len = opt.surfaces.len > 0 ? opt.surfaces.len : 1;
  if (len > WN_FUNNELS_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "surface", "at most %d, got %zu", WN_FUNNELS_MAX, len);
  for (size_t i = 0; i < len; i++) {
    const char *name = opt.surfaces.len > 0 ? opt.surfaces.data[i] : "home";
    const wn_surface *found = wn_surfaces_find(&r->config.surfaces, wn_str_of(name));
    if (found == NULL)
      return wn_fail(err, WN_E_NOT_FOUND, "surface", "there is no surface `%s`", name);
    o->surfaces[o->surfaces_len++] = found;
  }
  return WN_OK;
}

/* The surface as each arm has it. An arm that is pinned to a snapshot is measured by what is fitted
 * here, as the others are: what differs is its policy. */
static wn_status take_arms(run *r, wn_error *err) {
  const wn_experiment *e = wn_experiments_find(&r->config.experiments, wn_str_of(opt.experiment));
  if (e == NULL)
    return wn_fail(err, WN_E_NOT_FOUND, "experiment", "no experiment `%s` is declared",
                   opt.experiment);
  r->arms = wn_calloc(e->arms_len, sizeof *r->arms);
  if (r->arms == NULL) return wn_fail_memory(err);
  for (size_t a = 0; a < e->arms_len; a++) {
    const wn_arm_spec *arm = &e->arms[a];
    snprintf(r->arms[a].row, sizeof r->arms[a].row, "arm:%.59s", arm->name);
    r->arms[a].surface = *r->options.surfaces[0];
    for (size_t v = 0; v < arm->variants_len; v++)
      if (strcmp(arm->variants[v].surface, r->options.surfaces[0]->name) == 0)
        wn_surface_patch_apply(&arm->variants[v].patch, &r->arms[a].surface);
  }
  r->options.arms = r->arms;
  r->options.arms_len = e->arms_len;
  return WN_OK;
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
  WN_TRY(wn_load_events(r->store, 0, r->train, &r->meter.progress, err));
  WN_TRY(wn_catalog_load(r->catalog, r->store, err));
  WN_TRY(make_split(r, err));
  r->ids = (wn_content_ids){wn_store_users(r->store), wn_store_items(r->store), &r->config.signals};
  r->options.ids = &r->ids;
  WN_TRY(wn_dataset_hash(events_of(r->train), &r->ids, &r->options.dataset_hash, err));
  r->options.catalog = r->catalog;
  r->options.items_source = wn_store_item_source(r->store);
  r->options.users_source = wn_store_user_source(r->store);
  r->options.created_ms = wn_catalog_created(r->catalog);
  WN_TRY(wn_vectors_open(opt.data, wn_store_items(r->store), wn_catalog_count(r->catalog),
                         &r->vectors, err));
  r->options.vectors = r->vectors.vectors;
  if (!opt.no_funnel && opt.runs.len == 0 && (opt.models.len == 0 || opt.surfaces.len > 0)) {
    WN_TRY(choose_surfaces(r, err));
    if (opt.experiment != NULL) WN_TRY(take_arms(r, err));
  }
cleanup:
  return status;
}

static wn_status check_files(bool ordered, wn_error *err) {
  bool unordered_split = opt.split != NULL && (strncmp(opt.split, "random", 6) == 0 ||
                                               strcmp(opt.split, "cold-items") == 0);
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
    return wn_fail(err, WN_E_ARGUMENT, "format", "must be adjacency, sequence, pairs or ratings");
  WN_TRY(check_files(reads == wn_read_sequence || reads == wn_read_ratings, err));
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
    if (opt.split == NULL) opt.split = reads == wn_read_ratings ? "time" : "leave-last-out";
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

/* By default of a data directory's own models; asked for, of all splits that we make. */
static bool wants_second(const run *r) {
  bool ours = opt.test == NULL && r->split.kind != WN_SPLIT_COLD_ITEMS &&
              r->split.kind != WN_SPLIT_COLD_USERS && opt.negatives == NULL;
  bool plain = opt.data != NULL && opt.metrics == NULL && opt.models.len == 0 && opt.runs.len == 0;
  return ours && (opt.protocols == 2 || (opt.protocols == 0 && plain));
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
  WN_TRY(choose_compat(&r->options, err));
  WN_TRY(opt.data != NULL ? from_store(r, err) : from_files(r, err));
  WN_TRY(read_runs(r, err));
  WN_TRY(read_slices(r, err));
  WN_TRY(wn_evaluate(&r->split, &r->config.signals, &r->options, &evaluation, err));
  if (wants_second(r)) {
    const wn_split_options how = split_options(r);
    WN_TRY(wn_evaluate_second(events_of(r->train), &r->config.signals, &how, &r->options,
                              &evaluation, err));
  }
  wn_meter_end(&r->meter);
  WN_TRY(wn_cli_report_evaluation(&(wn_cli_report){opt.report, opt.incumbent, opt.data, opt.config,
                                                   opt.data != NULL ? opt.data : opt.train,
                                                   &evaluation},
                                  err));
  if (opt.per_user != NULL)
    WN_TRY(wn_per_user_write(opt.per_user, &evaluation,
                             r->store != NULL ? wn_store_users(r->store) : NULL, err));
  const wn_evaluation_format how = {opt.metrics, opt.json, opt.slices.len > 0};
  wn_cli_print_evaluation(&evaluation, &how, out);
cleanup:
  wn_meter_end(&r->meter);
  wn_evaluation_clear(&evaluation);
  wn_split_clear(&r->split);
  for (size_t i = 0; i < WN_GIVEN_MAX; i++) wn_run_file_clear(&r->runs[i]);
  for (size_t i = 0; i < WN_ATTRIBUTES_MAX; i++) {
    wn_labels_clear(&r->item_labels[i]);
    wn_labels_clear(&r->user_labels[i]);
  }
  if (r->train != NULL) wn_dataset_builder_free(r->train);
  if (r->test != NULL) wn_dataset_builder_free(r->test);
  if (r->negatives != NULL) wn_dataset_builder_free(r->negatives);
  if (r->catalog != NULL) wn_catalog_free(r->catalog);
  wn_free(r->arms);
  wn_vectors_close(&r->vectors);
  wn_store_close(r->store);
  wn_config_clear(&r->config);
  return status;
}

static wn_status predictions(wn_buf *out, wn_error *err) {
  if (opt.train != NULL || opt.test != NULL || opt.runs.len + opt.models.len > 0 ||
      opt.metrics != NULL)
    return wn_fail(err, WN_E_ARGUMENT, "predictions",
                   "goes without models and splits: the file says what was predicted");
  return wn_cli_evaluate_predictions(&(wn_cli_predictions){opt.predictions, opt.report, opt.data,
                                                           &opt.map, &opt.slices, opt.bootstrap,
                                                           opt.seed, opt.threads, opt.json},
                                     out, err);
}

int wn_cmd_evaluate(int argc, char **argv) {
  static run r;
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, NULL);
  if (status >= 0) return status;
  if (opt.predictions == NULL && (opt.data == NULL) == (opt.train == NULL))
    return wn_cli_usage(&command, "give --data DIR, --train FILE or --predictions FILE");
  if (opt.predictions == NULL && opt.map.len > 0)
    return wn_cli_usage(&command, "--map goes with --predictions");
  if (opt.train == NULL && (opt.items != NULL || opt.negatives != NULL || opt.format != NULL))
    return wn_cli_usage(&command, "--items, --negatives and --format go with --train");
  if (opt.protocols > 2) return wn_cli_usage(&command, "--protocols takes 1 or 2");
  if (opt.threads > 1024 || opt.users > UINT32_MAX || opt.bootstrap > 1000000)
    return wn_cli_usage(
        &command, "--threads takes up to 1024, --users up to 2^32 - 1, --bootstrap up to 1000000");
  wn_status done = opt.predictions != NULL ? predictions(&out, &err) : evaluate(&r, &out, &err);
  if (done == WN_OK) return wn_cli_print(&out);
  wn_buf_clear(&out);
  return wn_cli_fail(&command, &err);
}
