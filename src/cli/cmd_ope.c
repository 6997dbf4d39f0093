/* winnow ope: what would a policy have earned on a log of decisions? */
#include "cli/cli.h"

#include "base/clock.h"
#include "cli/ope_print.h"
#include "lab/own_log.h"

#include <inttypes.h>
#include <string.h>

#define MAPS_MAX 16

static struct {
  const char *data, *config, *policy, *surface, *since, *until;
  wn_text_list map, rewards;
  uint64_t seed, threads, bootstrap, window;
  double lambda;
  bool json;
} opt = {.seed = 1, .bootstrap = 1000, .window = 1440};

static const wn_option options[] = {
    {"policy", WN_OPT_TEXT, &opt.policy, "WHICH",
     "the one to judge: `logged`, `uniform`, or a CSV with item, probability [, position]; "
     "default: the log's column `target`, else logged"},
    {"map", WN_OPT_LIST, &opt.map, "FIELD=COLUMN",
     "a column of FILE: item, propensity, reward, position, slate, target, q, value"},
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the impressions of this data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "with --data: configuration; default DIR/winnow.yaml when it is there"},
    {"surface", WN_OPT_TEXT, &opt.surface, "NAME", "with --data: of this surface; default all"},
    {"since", WN_OPT_TEXT, &opt.since, "TIME", "with --data: shown at or after it"},
    {"until", WN_OPT_TEXT, &opt.until, "TIME", "with --data: shown before it"},
    {"reward", WN_OPT_LIST, &opt.rewards, "TYPE",
     "with --data: event types that count 1; default: all of positive weight"},
    {"window", WN_OPT_UINT, &opt.window, "MINUTES",
     "with --data: how long an event without slate counts for an impression; default 1440"},
    {"lambda", WN_OPT_REAL, &opt.lambda, "X",
     "of clipped, switch and DRos; default: chosen on the log"},
    {"bootstrap", WN_OPT_UINT, &opt.bootstrap, "N", "resamples of slates, default 1000"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "of the bootstrap; default 1"},
    {"threads", WN_OPT_UINT, &opt.threads, "N", "default: all processors"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"},
};
static const wn_command command = {
    "ope",
    "off-policy evaluation: what would a policy have earned on a log of decisions?",
    "FILE.csv | --data DIR",
    "Exit status 1 when the log cannot answer (too few effective rows, weights that do not average "
    "to 1,\nchoices that it never shows). docs/ope.md has the estimators and the guards.",
    options,
    sizeof options / sizeof options[0]};

static wn_status read_own(wn_store *store, wn_config *config, wn_own_log *own, wn_error *err) {
  wn_own_log_options how;
  wn_status status;
  wn_own_log_options_defaults(&how);
  how.surface = opt.surface;
  how.window_ms = (int64_t)opt.window * 60000;
  how.rewards = opt.rewards.data;
  how.rewards_len = opt.rewards.len;
  if (opt.since != NULL) WN_TRY(wn_time_parse(wn_str_of(opt.since), &how.since_ms, err));
  if (opt.until != NULL) WN_TRY(wn_time_parse(wn_str_of(opt.until), &how.until_ms, err));
  WN_TRY(wn_signals_bind(&config->signals, store, err));
  WN_TRY(wn_own_log_read(store, &config->signals, &how, own, err));
cleanup:
  return status;
}

/* Whether the log says what the policy to be judged would have done. */
static bool has_target(const wn_logged *log) {
  for (size_t i = 0; i < log->rows.len; i++)
    if (!(log->rows.data[i].p_eval >= 0)) return false;
  return true;
}

static wn_status choose_policy(const wn_logged *log, wn_ope_options *how, wn_policy_table *table,
                               wn_error *err) {
  const char *name = opt.policy;
  how->policy = has_target(log) ? WN_POLICY_GIVEN : WN_POLICY_LOGGED;
  if (name == NULL || strcmp(name, "target") == 0) {
    if (name != NULL) how->policy = WN_POLICY_GIVEN;
    return WN_OK;
  }
  how->policy = strcmp(name, "logged") == 0    ? WN_POLICY_LOGGED
                : strcmp(name, "uniform") == 0 ? WN_POLICY_UNIFORM
                                               : WN_POLICY_TABLE;
  how->table = table;
  return how->policy == WN_POLICY_TABLE ? wn_policy_read(name, log->items, table, err) : WN_OK;
}

static void print_text(const wn_ope_result *result, const wn_own_log *own, const char *policy,
                       wn_buf *out) {
  wn_ope_print(result, policy, out);
  if (opt.data == NULL) return;
  wn_buf_printf(out,
                "\nrewards: %" PRIu64 " events named their slate, %" PRIu64
                " by user and window, %" PRIu64 " belong to no impression here",
                own->by_slate, own->by_window, own->elsewhere);
  if (own->bad_propensities > 0)
    wn_buf_printf(out, "\nleft out: %" PRIu64 " slates with a propensity outside (0, 1]",
                  own->bad_propensities);
}

/* JSON for the run's note, and for whoever asks. */
static void print(const wn_ope_result *result, const wn_own_log *own, wn_policy_kind kind,
                  wn_buf *out) {
  static const char *const names[] = {"the logged one", "uniform", NULL, "the column `target`"};
  const char *policy = names[kind] != NULL ? names[kind] : opt.policy;
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  wn_json_key(&j, "policy");
  wn_json_cstring(&j, policy);
  wn_json_key(&j, "ope");
  wn_ope_result_to_json(result, &j);
  wn_json_end_object(&j);
  wn_cli_record("ope", &(wn_cli_run){opt.data, opt.config, out, wn_ope_exit(result) == 0, NULL});
  if (opt.json) return;
  wn_buf_reset(out);
  print_text(result, own, policy, out);
}

static wn_status run(const char *file, wn_ope_result *result, wn_buf *out, wn_error *err) {
  wn_config config = {0};
  wn_store *store = NULL;
  wn_logged from_file = {0}, *log = &from_file;
  wn_own_log own = {0};
  wn_policy_table table = {0};
  wn_column_map map[MAPS_MAX];
  wn_ope_options how;
  wn_status status;
  wn_ope_options_defaults(&how);
  how.bootstrap = (uint32_t)opt.bootstrap;
  how.lambda = opt.lambda;
  how.seed = opt.seed;
  how.threads = (int)opt.threads;
  if (opt.data != NULL) {
    WN_TRY(wn_cli_config(opt.config, opt.data, &config, err));
    WN_TRY(wn_store_open(opt.data, WN_STORE_READ, &store, err));
    WN_TRY(read_own(store, &config, &own, err));
    log = &own.log;
  } else {
    WN_TRY(wn_cli_read_map(&opt.map, map, MAPS_MAX, err));
    WN_TRY(wn_logged_read(file, map, opt.map.len, log, err));
  }
  WN_TRY(choose_policy(log, &how, &table, err));
  WN_TRY(wn_ope_run(log, &how, result, err));
  print(result, &own, how.policy, out);
cleanup:
  wn_policy_clear(&table);
  wn_logged_clear(&from_file);
  wn_own_log_clear(&own);
  wn_store_close(store);
  wn_config_clear(&config);
  return status;
}

int wn_cmd_ope(int argc, char **argv) {
  static wn_text_list rest;
  static wn_ope_result result;
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  if ((opt.data == NULL) != (rest.len == 1) || rest.len > 1)
    return wn_cli_usage(&command, "give one FILE or --data DIR");
  if (opt.threads > 1024 || opt.bootstrap > 1000000 || opt.window > 10000000 || opt.lambda < 0)
    return wn_cli_usage(&command, "--threads takes up to 1024, --bootstrap up to 1000000, --window "
                                  "up to 10000000, --lambda a number above 0");
  if (run(rest.len > 0 ? rest.data[0] : NULL, &result, &out, &err) != WN_OK) {
    wn_buf_clear(&out);
    return wn_cli_fail(&command, &err);
  }
  status = wn_cli_print(&out);
  return status != 0 ? status : wn_ope_exit(&result);
}
