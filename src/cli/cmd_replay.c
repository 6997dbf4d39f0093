/* winnow replay: what would a snapshot under this configuration have earned on the log? */
#include "cli/cli.h"

#include "base/clock.h"
#include "cli/ope_print.h"
#include "serve/policy_replay.h"

#include <inttypes.h>
#include <stdio.h>

static struct {
  const char *data, *config, *surface, *since, *until;
  wn_text_list rewards;
  uint64_t snapshot, draws, slates, seed, threads, bootstrap, window;
  double lambda;
  bool json;
} opt = {.seed = 1, .bootstrap = 1000, .window = 1440};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory with the log"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "the configuration to judge; default DIR/winnow.yaml when it is there"},
    {"snapshot", WN_OPT_UINT, &opt.snapshot, "N", "the snapshot to judge; default: the current"},
    {"surface", WN_OPT_TEXT, &opt.surface, "NAME", "slates of this surface; default all"},
    {"since", WN_OPT_TEXT, &opt.since, "TIME", "slates shown at or after it"},
    {"until", WN_OPT_TEXT, &opt.until, "TIME", "slates shown before it"},
    {"reward", WN_OPT_LIST, &opt.rewards, "TYPE",
     "event types that count 1; default: all of positive weight"},
    {"window", WN_OPT_UINT, &opt.window, "MINUTES",
     "how long an event without slate counts for an impression; default 1440"},
    {"slates", WN_OPT_UINT, &opt.slates, "N", "replay a sample of about so many; default 0: all"},
    {"draws", WN_OPT_UINT, &opt.draws, "N",
     "of a policy with chance; default 100 where a surface asks the model random, else 1"},
    {"lambda", WN_OPT_REAL, &opt.lambda, "X",
     "of clipped, switch and DRos; default: chosen on the log"},
    {"bootstrap", WN_OPT_UINT, &opt.bootstrap, "N", "resamples of slates, default 1000"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "of the bootstrap; default 1"},
    {"threads", WN_OPT_UINT, &opt.threads, "N", "default: all processors"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"},
};
static const wn_command command = {
    "replay",
    "what would this configuration have earned on the log?",
    "--data DIR [--config NEW.yaml] [--snapshot N] [--since TIME]",
    "Asks the snapshot, under the configuration, for each logged slate with what was known at that "
    "moment,\nand weighs the log by the answers. Exit status 1 when the log cannot answer. "
    "See docs/ope.md.",
    options,
    sizeof options / sizeof options[0]};

static wn_status choose(wn_policy_replay_options *how, wn_error *err) {
  wn_status status = WN_OK;
  wn_own_log_options_defaults(&how->log);
  how->snapshot = opt.snapshot;
  how->draws = (uint32_t)opt.draws;
  how->slates_max = (uint32_t)opt.slates;
  how->log.surface = opt.surface;
  how->log.window_ms = (int64_t)opt.window * 60000;
  how->log.rewards = opt.rewards.data;
  how->log.rewards_len = opt.rewards.len;
  if (opt.since != NULL) WN_TRY(wn_time_parse(wn_str_of(opt.since), &how->log.since_ms, err));
  if (opt.until != NULL) WN_TRY(wn_time_parse(wn_str_of(opt.until), &how->log.until_ms, err));
cleanup:
  return status;
}

static void warn(uint64_t count, const char *text, wn_buf *out) {
  if (count > 0) wn_buf_printf(out, "\nnote: %" PRIu64 " %s", count, text);
}

static void print_report(const wn_policy_replay_report *r, wn_buf *out) {
  warn(r->before, "slates left out: shown before the last event that the snapshot learned from",
       out);
  warn(r->no_surface, "slates left out: of surfaces that the configuration does not have", out);
  warn(r->gone, "slates left out: of users who were deleted since", out);
  warn(r->not_drawn, "slates left out by --slates", out);
  warn(r->hidden_items, "impressions of items that may not be shown any more", out);
  warn(r->short_places, "places that the policy leaves empty", out);
  if (r->missing_models[0] != '\0')
    wn_buf_printf(out, "\nnote: the snapshot has no model %s, which the configuration asks",
                  r->missing_models);
  if (r->draws > 1)
    wn_buf_printf(
        out,
        "\nnote: probabilities are shares of %u draws, place by place; the lines on whole "
        "slates take the places for independent",
        r->draws);
  wn_buf_str(
      out,
      "\nnote: users, sessions, filters, exclusions and models as of each slate; the catalogue "
      "is today's, without later items");
}

static void put_counts(const wn_policy_replay_report *r, wn_json *j) {
  const struct {
    const char *key;
    uint64_t value;
  } all[] = {{"snapshot", r->snapshot},
             {"slates", r->slates},
             {"before_snapshot", r->before},
             {"no_surface", r->no_surface},
             {"deleted_users", r->gone},
             {"not_drawn", r->not_drawn},
             {"hidden_items", r->hidden_items},
             {"short_places", r->short_places},
             {"draws", r->draws}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    wn_json_key(j, all[i].key);
    wn_json_int(j, (int64_t)all[i].value);
  }
  wn_json_key(j, "missing_models");
  wn_json_cstring(j, r->missing_models);
}

static void print(const wn_policy_replay_report *report, const wn_ope_result *result, wn_buf *out) {
  char policy[400];
  snprintf(policy, sizeof policy, "snapshot %" PRIu64 " under %.300s", report->snapshot,
           opt.config != NULL ? opt.config : "its data directory's configuration");
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  wn_json_key(&j, "policy");
  wn_json_cstring(&j, policy);
  wn_json_key(&j, "replay");
  wn_json_object(&j);
  put_counts(report, &j);
  wn_json_end_object(&j);
  wn_json_key(&j, "ope");
  wn_ope_result_to_json(result, &j);
  wn_json_end_object(&j);
  wn_cli_record("replay", &(wn_cli_run){opt.data, opt.config, out, wn_ope_exit(result) == 0, NULL});
  if (opt.json) return;
  wn_buf_reset(out);
  wn_ope_print(result, policy, out);
  print_report(report, out);
}

static wn_status run(wn_ope_result *result, wn_buf *out, wn_error *err) {
  wn_config config = {0};
  wn_engine *engine = NULL;
  wn_own_log log = {0};
  wn_policy_replay_report report;
  wn_policy_replay_options how = {0};
  wn_ope_options judge;
  wn_meter meter;
  wn_status status;
  wn_meter_init(&meter);
  wn_ope_options_defaults(&judge);
  judge.policy = WN_POLICY_GIVEN;
  judge.bootstrap = (uint32_t)opt.bootstrap;
  judge.lambda = opt.lambda;
  judge.seed = opt.seed;
  judge.threads = (int)opt.threads;
  how.progress = &meter.progress;
  WN_TRY(choose(&how, err));
  WN_TRY(wn_cli_config(opt.config, opt.data, &config, err));
  WN_TRY(wn_engine_open(opt.data, WN_STORE_READ, &config, &meter.progress, &engine, err));
  WN_TRY(wn_policy_replay(engine, &how, &log, &report, err));
  WN_TRY(wn_ope_run(&log.log, &judge, result, err));
  wn_meter_end(&meter);
  print(&report, result, out);
cleanup:
  wn_meter_end(&meter);
  wn_own_log_clear(&log);
  wn_engine_close(engine);
  wn_config_clear(&config);
  return status;
}

int wn_cmd_replay(int argc, char **argv) {
  static wn_ope_result result;
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, NULL);
  if (status >= 0) return status;
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  if (opt.threads > 1024 || opt.bootstrap > 1000000 || opt.window > 10000000 || opt.lambda < 0 ||
      opt.draws > 1000000 || opt.slates > UINT32_MAX)
    return wn_cli_usage(&command, "--threads takes up to 1024, --bootstrap and --draws up to "
                                  "1000000, --window up to 10000000, --lambda a number above 0");
  if (run(&result, &out, &err) != WN_OK) {
    wn_buf_clear(&out);
    return wn_cli_fail(&command, &err);
  }
  status = wn_cli_print(&out);
  return status != 0 ? status : wn_ope_exit(&result);
}
