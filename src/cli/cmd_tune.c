/* winnow tune: better parameters of a model, found on held-out items of the train part. */
#include "cli/cli.h"

#include "lab/evaluate.h"
#include "lab/tune.h"
#include "store/store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 10

static struct {
  const char *data, *config, *train, *format, *split, *model, *metric, *points, *validate, *out;
  wn_text_list set, dataset;
  uint64_t trials, users, seed, threads;
  double budget, test_share;
  bool json;
} opt = {.metric = "ndcg@20",
         .points = "tpe",
         .validate = "newest",
         .users = 4000,
         .seed = 1,
         .budget = 10,
         .test_share = 0.1};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "tune on this data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "configuration; default DIR/winnow.yaml when it is there"},
    {"train", WN_OPT_TEXT, &opt.train, "FILE", "tune on a file"},
    {"format", WN_OPT_TEXT, &opt.format, "NAME",
     "adjacency (`user item item …`), sequence (`user item` in order of time), pairs"},
    {"split", WN_OPT_TEXT, &opt.split, "KIND",
     "what stays out as evaluate's test part: time (default with --data), leave-last-out (default "
     "with sequence), random, none (default with adjacency and pairs)"},
    {"test-share", WN_OPT_REAL, &opt.test_share, "SHARE", "of that split; default 0.1"},
    {"model", WN_OPT_TEXT, &opt.model, "NAME", "the model to tune"},
    {"set", WN_OPT_LIST, &opt.set, "KEY=VALUE", "fixes a parameter; may be given again"},
    {"dataset", WN_OPT_LIST, &opt.dataset, "KEY=VALUE",
     "what of the log is fitted on, for example window_days=90"},
    {"metric", WN_OPT_TEXT, &opt.metric, "NAME@K", "ndcg or recall; default ndcg@20"},
    {"validate", WN_OPT_TEXT, &opt.validate, "KIND",
     "in what is left: newest (default), the newest item of each user; or time, all of the last "
     "tenth by time"},
    {"points", WN_OPT_TEXT, &opt.points, "KIND", "tpe (default): near what was good; or random"},
    {"trials", WN_OPT_UINT, &opt.trials, "N", "points to try; default: what the budget allows"},
    {"budget", WN_OPT_REAL, &opt.budget, "MINUTES", "of this machine's time; default 10"},
    {"users", WN_OPT_UINT, &opt.users, "N", "measure on a sample of users; default 4000, 0: all"},
    {"out", WN_OPT_TEXT, &opt.out, "FILE",
     "journal (JSON lines); a search that it began is continued"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "of the split, the sample, the points and the models"},
    {"threads", WN_OPT_UINT, &opt.threads, "N", "default: all processors"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "the result as JSON"},
};
static const wn_command command = {
    "tune",
    "search better parameters for a model",
    "--data DIR | --train FILE --format NAME --model NAME",
    "Successive halving over chosen points, measured on held-out items of the train part alone; "
    "the "
    "test part\nof `winnow evaluate` is not touched. See docs/tuning.md.",
    options,
    sizeof options / sizeof options[0]};

/* What a run holds; cleared as one. */
typedef struct run {
  wn_config config;
  wn_store *store;
  wn_dataset_builder *builder;
  wn_split split;
  wn_dataset data;
  wn_tune_options options;
  wn_meter meter;
} run;

static wn_status read_metric(wn_tune_options *o, wn_error *err) {
  const char *at = strchr(opt.metric, '@');
  size_t len = at != NULL ? (size_t)(at - opt.metric) : 0;
  int64_t k = 0;
  o->recall = len == 6 && memcmp(opt.metric, "recall", 6) == 0;
  bool ndcg = len == 4 && memcmp(opt.metric, "ndcg", 4) == 0;
  if (at == NULL || (!o->recall && !ndcg) || !wn_parse_int64(wn_str_of(at + 1), &k) || k < 1 ||
      k > WN_TUNE_K_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "metric",
                   "must be ndcg@K or recall@K, K from 1 to %d, got `%s`", WN_TUNE_K_MAX,
                   opt.metric);
  o->k = (uint32_t)k;
  return WN_OK;
}

static wn_status read_events(run *r, wn_error *err) {
  wn_status status;
  if (opt.data != NULL) {
    WN_TRY(wn_store_open(opt.data, WN_STORE_READ, &r->store, err));
    WN_TRY(wn_signals_bind(&r->config.signals, r->store, err));
  }
  r->builder = wn_dataset_builder_create(&r->config.signals);
  if (r->builder == NULL) WN_TRY(wn_fail_memory(err));
  if (opt.data != NULL) {
    WN_TRY(wn_load_events(r->store, 0, r->builder, &r->meter.progress, err));
    goto cleanup;
  }
  wn_cli_reader *reads = wn_cli_format(opt.format);
  if (reads == NULL)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "format", "must be adjacency, sequence or pairs"));
  WN_TRY(reads(opt.train, r->builder, err));
  WN_TRY(wn_cli_check_ids(r->builder, "train", err));
cleanup:
  return status;
}

/* False: no split, all is train. */
static wn_status split_kind(wn_split_kind *kind, bool *splits, wn_error *err) {
  const char *fallback = opt.data != NULL                      ? "time"
                         : strcmp(opt.format, "sequence") == 0 ? "leave-last-out"
                                                               : "none";
  const char *name = opt.split != NULL ? opt.split : fallback;
  *splits = strcmp(name, "none") != 0;
  *kind = strcmp(name, "time") == 0             ? WN_SPLIT_TIME
          : strcmp(name, "leave-last-out") == 0 ? WN_SPLIT_LEAVE_LAST
                                                : WN_SPLIT_RANDOM;
  if (*splits && *kind == WN_SPLIT_RANDOM && strcmp(name, "random") != 0)
    return wn_fail(err, WN_E_ARGUMENT, "split",
                   "must be time, leave-last-out, random or none, got `%s`", name);
  return WN_OK;
}

static wn_status make_data(run *r, wn_error *err) {
  wn_status status;
  wn_split_options how = {.test_share = opt.test_share, .seed = opt.seed};
  bool splits;
  wn_pairs_input in = {.events = wn_dataset_builder_events(r->builder),
                       .count = wn_dataset_builder_count(r->builder),
                       .signals = &r->config.signals};
  if (r->store != NULL) {
    how.items = in.items = wn_dict_count(wn_store_items(r->store));
    in.users = wn_dict_count(wn_store_users(r->store));
  }
  WN_TRY(split_kind(&how.kind, &splits, err));
  if (splits) {
    WN_TRY(wn_split_make((wn_event_list){in.events, in.count}, in.signals, &how, &r->split, err));
    in.events = r->split.train;
    in.count = r->split.train_len;
    in.users = r->split.users;
    in.items = r->split.items;
  }
  WN_TRY(wn_dataset_prepare(&in, &r->config.train.dataset, &r->data, NULL, err));
  if (r->store != NULL) {
    r->data.items_source = wn_store_item_source(r->store);
    r->data.users_source = wn_store_user_source(r->store);
  }
cleanup:
  return status;
}

static wn_status choose(run *r, wn_error *err) {
  wn_tune_options *o = &r->options;
  wn_status status;
  wn_tune_options_defaults(o);
  o->space.cls = wn_model_class_find(opt.model);
  if (o->space.cls == NULL)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "model", "there is no model `%s`", opt.model));
  wn_params_defaults(o->space.cls, &o->space.start);
  for (size_t i = 0; i < r->config.train.models_len; i++)
    if (r->config.train.models[i].cls == o->space.cls)
      o->space.start = r->config.train.models[i].params;
  for (size_t i = 0; i < opt.set.len; i++) WN_TRY(wn_tune_fix(&o->space, opt.set.data[i], err));
  for (size_t i = 0; i < opt.dataset.len; i++)
    WN_TRY(wn_dataset_options_set(&r->config.train.dataset, opt.dataset.data[i], err));
  WN_TRY(read_metric(o, err));
  o->tpe = strcmp(opt.points, "tpe") == 0;
  o->later = strcmp(opt.validate, "time") == 0 ? 0.1 : 0;
  if (!(o->later > 0) && strcmp(opt.validate, "newest") != 0)
    WN_TRY(
        wn_fail(err, WN_E_ARGUMENT, "validate", "must be newest or time, got `%s`", opt.validate));
  if (!o->tpe && strcmp(opt.points, "random") != 0)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "points", "must be tpe or random, got `%s`", opt.points));
  o->trials = (uint32_t)opt.trials;
  o->budget_minutes = opt.budget;
  o->users_max = (uint32_t)opt.users;
  o->seed = opt.seed;
  o->threads = (int)opt.threads;
  o->journal = opt.out;
  o->progress = &r->meter.progress;
cleanup:
  return status;
}

/* ---- printing ---- */

static void print_plan(void *ctx, const wn_tune_plan *plan) {
  run *r = ctx;
  wn_meter_end(&r->meter);
  for (uint32_t i = 0; i < plan->rungs; i++)
    fprintf(stderr, "%s%u trials on %.3g%% of the users (%.1f s each)",
            i > 0 ? ", " : "plan: ", plan->trials[i], 100 * plan->share[i], plan->seconds[i]);
  fprintf(stderr, "; about %.1f minutes to go\n", plan->estimate / 60);
}

/* What differs from the class's defaults. */
static void put_params(const wn_model_class *cls, const wn_params *params, wn_buf *out) {
  const char *comma = "";
  for (size_t i = 0; i < cls->params_len; i++) {
    if (params->value[i] == cls->params[i].value) continue;
    wn_buf_printf(out, "%s%s: %.6g", comma, cls->params[i].name, params->value[i]);
    comma = ", ";
  }
}

static wn_status print_table(const run *r, const wn_tune_result *result, wn_buf *out,
                             wn_error *err) {
  wn_table table;
  wn_buf params = {0};
  wn_table_init(&table, 7, 0x1F);
  const char *head[] = {"trial", opt.metric, "95%", "from start", "95%", "seconds", "parameters"};
  for (size_t i = 0; i < 7; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < result->rows_len; i++) {
    const wn_tune_row *row = &result->rows[i];
    if (i >= SHOWN && row->trial != 0) continue;
    wn_buf_reset(&params);
    put_params(r->options.space.cls, &row->params, &params);
    wn_table_cell(&table, row->trial == 0 ? "start" : "%u", row->trial);
    wn_table_cell(&table, "%.4f", row->metric.mean);
    wn_table_cell(&table, "%.4f–%.4f", row->metric.low, row->metric.high);
    wn_table_cell(&table, "%+.4f", row->difference.mean);
    wn_table_cell(&table, "%+.4f–%+.4f", row->difference.low, row->difference.high);
    wn_table_cell(&table, "%.1f", row->seconds);
    wn_table_cell(&table, "%.*s", (int)params.len, params.len > 0 ? params.data : "");
  }
  bool failed = params.failed;
  wn_buf_clear(&params);
  wn_table_print(&table, out);
  return failed ? wn_fail_memory(err) : WN_OK;
}

static wn_status print(const run *r, const wn_tune_result *result, wn_buf *out, wn_error *err) {
  const wn_tune_row *best = &result->rows[0];
  bool better = best->trial != 0 && best->difference.low > 0;
  wn_status status = print_table(r, result, out, err);
  if (status != WN_OK) return status;
  wn_buf_printf(out,
                "\n%" PRIu64
                " users, %s; %u trials in %.0f s. The best of many looks better than it is: "
                "evaluate it once on the test part.\n%s",
                result->users,
                strcmp(opt.validate, "time") == 0 ? "the last tenth by time held out"
                : result->by_time                 ? "each one's newest item held out"
                                                  : "items held out at random",
                result->plan.trials[0], result->seconds,
                better ? "" : "No point is certainly better than the start; the best one is:\n");
  wn_buf_printf(out, "\nmodels:\n  %s: {", r->options.space.cls->name);
  put_params(r->options.space.cls, &best->params, out);
  wn_buf_str(out, "}");
  return WN_OK;
}

static void put_interval(wn_json *j, const char *name, const wn_interval *value) {
  wn_json_key(j, name);
  wn_json_array(j);
  wn_json_double(j, value->mean);
  wn_json_double(j, value->low);
  wn_json_double(j, value->high);
  wn_json_end_array(j);
}

static void print_json(const run *r, const wn_tune_result *result, wn_buf *out) {
  const wn_model_class *cls = r->options.space.cls;
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  wn_json_key(&j, "model");
  wn_json_cstring(&j, cls->name);
  wn_json_key(&j, "metric");
  wn_json_cstring(&j, opt.metric);
  wn_json_key(&j, "users");
  wn_json_int(&j, (int64_t)result->users);
  wn_json_key(&j, "trials");
  wn_json_int(&j, result->plan.trials[0]);
  wn_json_key(&j, "rows");
  wn_json_array(&j);
  for (size_t i = 0; i < result->rows_len; i++) {
    const wn_tune_row *row = &result->rows[i];
    wn_json_object(&j);
    wn_json_key(&j, "trial");
    wn_json_int(&j, row->trial);
    put_interval(&j, "metric", &row->metric);
    put_interval(&j, "from_start", &row->difference);
    wn_json_key(&j, "params");
    wn_json_object(&j);
    for (size_t p = 0; p < cls->params_len; p++) {
      if (row->params.value[p] == cls->params[p].value) continue;
      wn_json_key(&j, cls->params[p].name);
      wn_json_double(&j, row->params.value[p]);
    }
    wn_json_end_object(&j);
    wn_json_end_object(&j);
  }
  wn_json_end_array(&j);
  wn_json_end_object(&j);
}

static wn_status tune(run *r, wn_buf *out, wn_error *err) {
  static wn_tune_result result; /* large */
  wn_status status;
  wn_meter_init(&r->meter);
  WN_TRY(wn_cli_config(opt.config, opt.data, &r->config, err));
  WN_TRY(choose(r, err));
  r->options.planned = print_plan;
  r->options.planned_ctx = r;
  WN_TRY(read_events(r, err));
  WN_TRY(make_data(r, err));
  WN_TRY(wn_tune_run(&r->data, &r->options, &result, err));
  wn_meter_end(&r->meter);
  print_json(r, &result, out);
  wn_cli_record("tune", &(wn_cli_run){opt.data, opt.config, out, true, NULL});
  if (opt.json) goto cleanup;
  wn_buf_reset(out);
  WN_TRY(print(r, &result, out, err));
cleanup:
  wn_meter_end(&r->meter);
  wn_dataset_clear(&r->data);
  wn_split_clear(&r->split);
  if (r->builder != NULL) wn_dataset_builder_free(r->builder);
  wn_store_close(r->store);
  wn_config_clear(&r->config);
  return status;
}

int wn_cmd_tune(int argc, char **argv) {
  static run r;
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, NULL);
  if (status >= 0) return status;
  if ((opt.data == NULL) == (opt.train == NULL))
    return wn_cli_usage(&command, "give --data DIR or --train FILE");
  if (opt.train != NULL && opt.format == NULL) return wn_cli_usage(&command, "--format is missing");
  if (opt.model == NULL) return wn_cli_usage(&command, "--model is missing");
  if (opt.threads > 1024 || opt.users > UINT32_MAX || opt.trials >= WN_TUNE_TRIALS_MAX)
    return wn_cli_usage(&command,
                        "--threads takes up to 1024, --users up to 2^32 - 1, --trials up to %d",
                        WN_TUNE_TRIALS_MAX - 1);
  if (!(opt.budget > 0)) return wn_cli_usage(&command, "--budget must be above 0");
  wn_status done = tune(&r, &out, &err);
  if (done == WN_OK) return wn_cli_print(&out);
  wn_buf_clear(&out);
  return wn_cli_fail(&command, &err);
}
