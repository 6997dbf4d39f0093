/* winnow train: log and catalogue → snapshot → gate → the one that is served. A process of its own
 * beside a running server, which also starts it by itself (serve/trainer.c). */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/log.h"
#include "cli/objective_print.h"
#include "lab/fingerprint.h"
#include "model/train.h"
#include "serve/background.h"
#include "serve/declared.h"
#include "serve/gate.h"
#include "serve/retrieval.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>

static struct {
  const char *data, *config, *clock;
  wn_text_list set, dataset;
  uint64_t threads, seed, memory_mb, background;
  bool no_promote, force, cold, json;
} opt = {.seed = UINT64_MAX, .background = UINT64_MAX};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "configuration; default DIR/winnow.yaml when it is there"},
    {"set", WN_OPT_LIST, &opt.set, "MODEL.KEY=VALUE",
     "a model's parameter, for example als.factors=128"},
    {"dataset", WN_OPT_LIST, &opt.dataset, "KEY=VALUE",
     "what of the log is fitted on, for example window_days=90"},
    {"threads", WN_OPT_UINT, &opt.threads, "N", "default: all processors"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "same seed, same threads: the same bits"},
    {"cold", WN_OPT_FLAG, &opt.cold, NULL, "start from nothing, not from the current snapshot"},
    {"force", WN_OPT_FLAG, &opt.force, NULL, "serve the snapshot whatever the gate says"},
    {"no-promote", WN_OPT_FLAG, &opt.no_promote, NULL,
     "write the snapshot, but go on serving the current one"},
    {"background", WN_OPT_UINT, &opt.background, "NICE",
     "low priority for processor (19: lowest; 20: idle time alone) and disk"},
    {"memory-mb", WN_OPT_UINT, &opt.memory_mb, "N", "fail rather than take more"},
    {"virtual-clock", WN_OPT_TEXT, &opt.clock, "TIME",
     "live at this time, not now: for simulations"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "the report as JSON"},
};
static const wn_command command = {
    "train",
    "fit the models on the data and write a snapshot",
    "--data DIR [--set MODEL.KEY=VALUE …]",
    "The newest events are held out, and the new snapshot is served when it does not rank them "
    "worse\nthan the current one does (`training: gate:` in the configuration). A running server "
    "follows\nwithin a second. `winnow snapshots list` shows verdicts, `rollback` goes back.",
    options,
    sizeof options / sizeof options[0]};

typedef struct outcome {
  wn_snapshot_about about;
  wn_dataset_report dataset;
  wn_gate_report gate;
  wn_objective_summary objectives;
  uint32_t removed; /* old snapshots */
  wn_content_ids ids;
  uint64_t dataset_hash, fitted_hash, seed;
  bool cut;
} outcome;

static wn_status set_options(wn_config *config, wn_error *err) {
  wn_status status = WN_OK;
  for (size_t i = 0; i < opt.set.len; i++)
    WN_TRY(wn_train_options_set(&config->train, opt.set.data[i], err));
  for (size_t i = 0; i < opt.dataset.len; i++)
    WN_TRY(wn_dataset_options_set(&config->train.dataset, opt.dataset.data[i], err));
  if (opt.threads > 0) config->train.threads = (int)opt.threads;
  if (opt.seed != UINT64_MAX) config->train.seed = opt.seed;
  config->train.cold = opt.cold;
  config->train.promote = false;
cleanup:
  return status;
}

static wn_status hash(void *ctx, wn_event_list events, const wn_dataset *fitted, wn_error *err) {
  outcome *out = ctx;
  wn_status status;
  WN_TRY(wn_dataset_hash(events, &out->ids, &out->dataset_hash, err));
  WN_TRY(wn_pairs_hash(fitted, &out->ids, &out->fitted_hash, err));
cleanup:
  return status;
}

static wn_status train(wn_config *config, const wn_progress *progress, wn_gate_plan *plan,
                       outcome *out, wn_error *err) {
  wn_store *store = NULL;
  wn_status status;
  wn_retrieval_options index = {.items_min = config->server.index_items_min};
  config->train.dataset_report = &out->dataset;
  WN_TRY(wn_store_open_upgraded(opt.data, &store, err));
  WN_TRY(wn_signals_bind(&config->signals, store, err));
  WN_TRY(wn_gate_plan_make(store, config, &config->signals, plan, err));
  /* Who decides by hand wants all of the log in it. */
  if (opt.no_promote || opt.force) plan->upto_seq = 0;
  config->train.upto_seq = plan->upto_seq;
  if ((index.pool = wn_pool_create(config->train.threads)) == NULL) WN_TRY(wn_fail_memory(err));
  config->train.extra = (wn_train_extra){&index, wn_retrieval_write};
  config->train.witness = (wn_train_witness){out, hash};
  out->ids = (wn_content_ids){wn_store_users(store), wn_store_items(store), &config->signals};
  out->seed = config->train.seed;
  WN_TRY(wn_train_store(store, &config->signals, &config->train, progress, &out->about, err));
cleanup:
  wn_pool_free(index.pool);
  wn_store_close(store);
  return status;
}

/* Unless somebody rolled back (or trained) meanwhile: what they chose stays. */
static wn_status promote(outcome *out, wn_error *err) {
  wn_snapshot *current = NULL;
  wn_gate_report *gate = &out->gate;
  wn_status status = wn_snapshot_open_current(opt.data, NULL, &current, err);
  if (status != WN_OK) return status;
  uint64_t number = current != NULL ? wn_snapshot_about_of(current)->number : 0;
  wn_snapshot_unref(current);
  gate->promoted = gate->verdict != WN_GATE_WORSE;
  if (opt.force || opt.no_promote) gate->promoted = gate->forced = opt.force;
  if (gate->promoted && number != gate->incumbent && !opt.force) {
    gate->promoted = false;
    snprintf(gate->reason, sizeof gate->reason,
             "snapshot %" PRIu64 " was made current meanwhile, in place of %" PRIu64, number,
             gate->incumbent);
  }
  return gate->promoted ? wn_snapshot_set_current(opt.data, out->about.number, err) : WN_OK;
}

/* An arm of an experiment goes by it: without it the server would not start. */
static bool is_pinned(const void *ctx, uint64_t number) {
  const wn_config *config = ctx;
  for (size_t i = 0; i < config->experiments.len; i++) {
    const wn_experiment *e = &config->experiments.data[i];
    for (size_t a = 0; a < e->arms_len; a++)
      if (e->arms[a].snapshot == number) return true;
  }
  return false;
}

/* By what is declared now: experiments begin while a model is trained. */
static wn_status prune(outcome *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_config config = {0};
  WN_TRY(wn_cli_config(opt.config, opt.data, &config, err));
  WN_TRY(wn_declared_load(opt.data, &config, err));
  status =
      wn_snapshot_prune(opt.data, config.training.keep, is_pinned, &config, &out->removed, err);
cleanup:
  wn_config_clear(&config);
  return status;
}

static wn_status conclude(outcome *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf text = {0};
  wn_json json;
  WN_TRY(promote(out, err));
  wn_json_init(&json, &text);
  wn_gate_report_json(&out->gate, &json);
  if (text.failed) WN_TRY(wn_fail_memory(err));
  WN_TRY(
      wn_snapshot_verdict_write(opt.data, out->about.number, (wn_str){text.data, text.len}, err));
  if (out->gate.promoted) WN_TRY(prune(out, err));
cleanup:
  wn_buf_clear(&text);
  return status;
}

static wn_status run(outcome *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_config config = {0}, judges = {0};
  wn_gate_plan plan = {0};
  wn_meter meter;
  wn_meter_init(&meter);
  if (opt.background != UINT64_MAX) meter.period_ns = 1000000000;
  WN_TRY(wn_cli_config(opt.config, opt.data, &config, err));
  WN_TRY(wn_declared_load(opt.data, &config, err));
  WN_TRY(set_options(&config, err));
  snprintf(config.train.config, sizeof config.train.config, "%016" PRIx64, config.hash);
  out->cut = !wn_dataset_options_none(&config.train.dataset);
  WN_TRY(train(&config, &meter.progress, &plan, out, err));
  WN_TRY(wn_objective_summary_read(opt.data, out->about.number, &out->objectives, err));
  (void)wn_progress_at(&meter.progress, "gate", 0, 0, "");
  WN_TRY(wn_cli_config(opt.config, opt.data, &judges, err));
  judges.train.threads = config.train.threads;
  if (opt.no_promote)
    snprintf(plan.reason, sizeof plan.reason, "--no-promote");
  else if (opt.force)
    snprintf(plan.reason, sizeof plan.reason, "--force");
  WN_TRY(wn_gate_judge(opt.data, &judges, &plan, out->about.number, &out->gate, err));
  WN_TRY(conclude(out, err));
cleanup:
  wn_meter_end(&meter);
  wn_config_clear(&config);
  return status;
}

static void print_text(const outcome *out, wn_buf *text) {
  const wn_snapshot_about *about = &out->about;
  const wn_gate_report *gate = &out->gate;
  wn_buf_printf(text,
                "snapshot %" PRIu64 ": %" PRIu32 " users, %" PRIu32 " items, %" PRIu64
                " interactions, trained in %.1f s (%s)%s",
                about->number, about->users, about->items, about->nnz, about->train_seconds,
                about->models, gate->promoted ? "" : "; not promoted");
  wn_objective_summary_print(&out->objectives, text);
  if (gate->verdict != WN_GATE_FIRST && !opt.no_promote && !opt.force)
    wn_buf_printf(text, "\ngate: %s; %s", wn_verdict_name(gate->verdict), gate->reason);
  if (out->removed > 0)
    wn_buf_printf(text, "\n%" PRIu32 " old snapshot%s removed", out->removed,
                  out->removed > 1 ? "s" : "");
  if (out->cut) {
    wn_buf_char(text, '\n');
    wn_dataset_report_print(&out->dataset, text);
  }
}

static void put_hash(wn_json *j, const char *key, uint64_t value) {
  char text[WN_HASH_TEXT];
  wn_hash_text(value, text);
  wn_json_key(j, key);
  wn_json_cstring(j, text);
}

static void print_json(const outcome *out, wn_buf *text) {
  const wn_snapshot_about *about = &out->about;
  wn_json j;
  wn_json_init(&j, text);
  wn_json_object(&j);
  wn_json_key(&j, "snapshot");
  wn_json_int(&j, (int64_t)about->number);
  wn_json_key(&j, "users");
  wn_json_int(&j, about->users);
  wn_json_key(&j, "items");
  wn_json_int(&j, about->items);
  wn_json_key(&j, "interactions");
  wn_json_int(&j, (int64_t)about->nnz);
  wn_json_key(&j, "last_seq");
  wn_json_int(&j, (int64_t)about->last_seq);
  put_hash(&j, "dataset_hash", out->dataset_hash);
  put_hash(&j, "fitted_hash", out->fitted_hash);
  wn_json_key(&j, "seed");
  wn_json_int(&j, (int64_t)out->seed);
  wn_json_key(&j, "train_seconds");
  wn_json_double(&j, about->train_seconds);
  wn_json_key(&j, "models");
  wn_json_cstring(&j, about->models);
  wn_json_key(&j, "promoted");
  wn_json_bool(&j, out->gate.promoted);
  wn_json_key(&j, "gate");
  wn_gate_report_json(&out->gate, &j);
  wn_json_key(&j, "objectives");
  wn_objective_summary_json(&out->objectives, &j);
  wn_json_key(&j, "importance");
  wn_json_string(&j, (wn_str){out->objectives.importance.data, out->objectives.importance.len});
  wn_json_key(&j, "removed");
  wn_json_int(&j, out->removed);
  wn_json_key(&j, "dataset");
  wn_dataset_report_to_json(&out->dataset, &j);
  wn_json_end_object(&j);
}

int wn_cmd_train(int argc, char **argv) {
  outcome out = {0};
  wn_buf text = {0};
  wn_error err = {0};
  int exit_status = wn_cli_parse(&command, argc, argv, NULL);
  if (exit_status >= 0) return exit_status;
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  if (opt.threads > 1024) return wn_cli_usage(&command, "--threads takes 1 to 1024");
  if (opt.force && opt.no_promote)
    return wn_cli_usage(&command, "--force and --no-promote contradict each other");
  if (opt.background != UINT64_MAX && opt.background > WN_BACKGROUND_IDLE)
    return wn_cli_usage(&command, "--background takes 0 to 20");
  if (opt.background != UINT64_MAX) wn_background_enter((int)opt.background);
  if (opt.memory_mb > 0 && wn_background_limit(opt.memory_mb, &err) != WN_OK)
    return wn_cli_fail(&command, &err);
  if (wn_cli_clock(opt.clock, &err) != WN_OK || run(&out, &err) != WN_OK)
    return wn_cli_fail(&command, &err);
  print_json(&out, &text);
  wn_cli_record("train", &(wn_cli_run){opt.data, opt.config, &text, true, NULL});
  if (!opt.json) {
    wn_buf_reset(&text);
    print_text(&out, &text);
  }
  wn_objective_summary_clear(&out.objectives);
  return wn_cli_print(&text);
}
