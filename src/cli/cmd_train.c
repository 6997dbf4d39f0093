/* winnow train: log and catalogue → snapshot. A process of its own beside a running server. */
#include "cli/cli.h"

#include "base/clock.h"
#include "model/train.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>

static struct {
  const char *data, *config;
  wn_text_list set, dataset;
  uint64_t threads, seed;
  bool no_promote, cold, json;
} opt = {.seed = UINT64_MAX};

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
    {"no-promote", WN_OPT_FLAG, &opt.no_promote, NULL,
     "write the snapshot, but go on serving the current one"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "the report as JSON"},
};
static const wn_command command = {"train",
                                   "fit the models on the data and write a snapshot",
                                   "--data DIR [--set MODEL.KEY=VALUE …]",
                                   "A running server takes the new snapshot within a second.",
                                   options,
                                   sizeof options / sizeof options[0]};

static wn_status train(wn_config *config, wn_snapshot_about *about, wn_dataset_report *report,
                       wn_error *err) {
  wn_store *store = NULL;
  wn_meter meter;
  wn_status status;
  wn_meter_init(&meter);
  for (size_t i = 0; i < opt.set.len; i++)
    WN_TRY(wn_train_options_set(&config->train, opt.set.data[i], err));
  for (size_t i = 0; i < opt.dataset.len; i++)
    WN_TRY(wn_dataset_options_set(&config->train.dataset, opt.dataset.data[i], err));
  if (opt.threads > 0) config->train.threads = (int)opt.threads;
  if (opt.seed != UINT64_MAX) config->train.seed = opt.seed;
  config->train.promote = !opt.no_promote;
  config->train.cold = opt.cold;
  config->train.dataset_report = report;
  WN_TRY(wn_store_open(opt.data, WN_STORE_READ, &store, err));
  WN_TRY(wn_train_store(store, &config->signals, &config->train, &meter.progress, about, err));
cleanup:
  wn_meter_end(&meter);
  wn_store_close(store);
  return status;
}

static int print_about(const wn_snapshot_about *about, const wn_dataset_report *report, bool cut) {
  wn_buf out = {0};
  if (!opt.json) {
    wn_buf_printf(&out,
                  "snapshot %" PRIu64 ": %" PRIu32 " users, %" PRIu32 " items, %" PRIu64
                  " interactions, trained in %.1f s (%s)%s",
                  about->number, about->users, about->items, about->nnz, about->train_seconds,
                  about->models, opt.no_promote ? "; not promoted" : "");
    if (cut) {
      wn_buf_char(&out, '\n');
      wn_dataset_report_print(report, &out);
    }
    return wn_cli_print(&out);
  }
  wn_json j;
  wn_json_init(&j, &out);
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
  wn_json_key(&j, "train_seconds");
  wn_json_double(&j, about->train_seconds);
  wn_json_key(&j, "models");
  wn_json_cstring(&j, about->models);
  wn_json_key(&j, "promoted");
  wn_json_bool(&j, !opt.no_promote);
  wn_json_key(&j, "dataset");
  wn_dataset_report_to_json(report, &j);
  wn_json_end_object(&j);
  return wn_cli_print(&out);
}

int wn_cmd_train(int argc, char **argv) {
  wn_config config;
  wn_snapshot_about about = {0};
  wn_dataset_report report;
  wn_error err = {0};
  int exit_status = wn_cli_parse(&command, argc, argv, NULL);
  if (exit_status >= 0) return exit_status;
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  if (opt.threads > 1024) return wn_cli_usage(&command, "--threads takes 1 to 1024");
  if (wn_cli_config(opt.config, opt.data, &config, &err) != WN_OK)
    return wn_cli_fail(&command, &err);
  wn_status status = train(&config, &about, &report, &err);
  bool cut = !wn_dataset_options_none(&config.train.dataset);
  wn_config_clear(&config);
  return status == WN_OK ? print_about(&about, &report, cut) : wn_cli_fail(&command, &err);
}
