/* winnow batch: the best items of every user into one file, from a data directory or from a file of
 * interactions. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/map64.h"
#include "lab/batch_files.h"
#include "serve/batch_store.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct {
  const char *data, *config, *surface, *train, *format_in, *out, *format, *users;
  wn_text_list models, set, dataset;
  uint64_t n, threads, seed, chunk;
  bool keep_seen, restart, json;
} opt = {.n = 100, .seed = 1, .chunk = 100 * WN_BATCH_TILE};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "configuration; default DIR/winnow.yaml when it is there"},
    {"model", WN_OPT_LIST, &opt.models, "NAME", "lists of this model"},
    {"surface", WN_OPT_TEXT, &opt.surface, "NAME", "or slates of this surface, filters and all"},
    {"n", WN_OPT_UINT, &opt.n, "N", "length of a list, default 100"},
    {"out", WN_OPT_TEXT, &opt.out, "FILE", "the result: a row a user and item"},
    {"format", WN_OPT_TEXT, &opt.format, "NAME",
     "csv, jsonl or sqlite; default: by FILE's ending, else csv"},
    {"users", WN_OPT_TEXT, &opt.users, "FILE", "these users alone, an id a line"},
    {"keep-seen", WN_OPT_FLAG, &opt.keep_seen, NULL,
     "with --model: do not leave out what the user has seen"},
    {"restart", WN_OPT_FLAG, &opt.restart, NULL, "begin again instead of going on"},
    {"chunk", WN_OPT_UINT, &opt.chunk, "N", "users between two places to go on from, default 4800"},
    {"train", WN_OPT_TEXT, &opt.train, "FILE", "instead of --data: fit the model on this file"},
    {"train-format", WN_OPT_TEXT, &opt.format_in, "NAME",
     "of that file: adjacency (default), sequence or pairs"},
    {"set", WN_OPT_LIST, &opt.set, "KEY=VALUE", "with --train: a parameter of the model"},
    {"dataset", WN_OPT_LIST, &opt.dataset, "KEY=VALUE",
     "with --train: what of it is fitted on, for example user_items_max=50"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "with --train: of the model; default 1"},
    {"threads", WN_OPT_UINT, &opt.threads, "N", "default: all processors"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "the report as JSON"},
};
static const wn_command command = {
    "batch",
    "write the best items of every user into a file",
    "--data DIR --model NAME | --surface NAME --out FILE [--n N] [--format csv|jsonl|sqlite]",
    "Columns: user, item, score, rank. The file is there once it is whole; until then "
    "FILE.partial\n"
    "grows, and a job that was killed goes on when the same command is given again.",
    options,
    sizeof options / sizeof options[0]};

typedef struct run {
  wn_config config;
  wn_meter meter;
  wn_pool *pool;
  wn_dataset_builder *builder;
  wn_batch_store *store;
  wn_batch_files *files;
  wn_batch_state state;
  wn_batch_report report;
  uint64_t unknown;
} run;

static wn_status choose_format(wn_batch_format *format, wn_error *err) {
  static const struct {
    const char *name;
    wn_batch_format format;
  } all[] = {{"csv", WN_BATCH_CSV},
             {"jsonl", WN_BATCH_JSONL},
             {"sqlite", WN_BATCH_SQLITE},
             {"db", WN_BATCH_SQLITE},
             {"ndjson", WN_BATCH_JSONL}};
  const char *dot = strrchr(opt.out, '.'), *name = opt.format != NULL ? opt.format : dot;
  *format = WN_BATCH_CSV;
  if (opt.format == NULL && dot != NULL) name = dot + 1;
  for (size_t i = 0; name != NULL && i < sizeof all / sizeof all[0]; i++)
    if (strcmp(all[i].name, name) == 0 && (opt.format == NULL || i < 3)) {
      *format = all[i].format;
      return WN_OK;
    }
  bool parquet = name != NULL && strcmp(name, "parquet") == 0;
  if (opt.format == NULL && !parquet) return WN_OK;
  return wn_fail(err, WN_E_ARGUMENT, "format", "must be csv, jsonl or sqlite, got `%s`%s", name,
                 parquet ? "; Parquet is not written (docs/batch.md)" : "");
}

/* All that decides what the rows are, but for the data of a directory, which the state names. */
static wn_status job_hash(const run *r, wn_batch_format format, uint64_t *hash, wn_error *err) {
  wn_buf text = {0}, users = {0};
  wn_status status = WN_OK;
  wn_buf_printf(&text, "%d %" PRIu64 " %d %" PRIu64 " %" PRIx64 "|%s|%s|", (int)format, opt.n,
                opt.keep_seen, opt.seed, r->config.hash,
                opt.models.len > 0 ? opt.models.data[0] : "",
                opt.surface != NULL ? opt.surface : "");
  for (size_t i = 0; i < opt.set.len; i++) wn_buf_printf(&text, "%s|", opt.set.data[i]);
  for (size_t i = 0; i < opt.dataset.len; i++) wn_buf_printf(&text, "%s|", opt.dataset.data[i]);
  if (opt.users != NULL) {
    WN_TRY(wn_read_file(opt.users, (size_t)1 << 30, &users, err));
    wn_buf_append(&text, users.data, users.len);
  }
  for (size_t i = 0; r->builder != NULL && i < wn_dataset_builder_count(r->builder); i++) {
    const wn_event *e = wn_dataset_builder_events(r->builder) + i;
    wn_buf_append(&text, &e->user, sizeof e->user);
    wn_buf_append(&text, &e->item, sizeof e->item);
  }
  if (text.failed) WN_TRY(wn_fail_memory(err));
  *hash = wn_hash64(text.data, text.len, 0);
cleanup:
  wn_buf_clear(&text);
  wn_buf_clear(&users);
  return status;
}

/* What an unfinished job left, if it is this one. */
static wn_status resume(run *r, uint64_t hash, wn_error *err) {
  bool found;
  if (opt.restart) wn_batch_discard(opt.out);
  wn_status status = wn_batch_state_load(opt.out, &r->state, &found, err);
  if (status != WN_OK) return status;
  if (found && r->state.job != hash)
    return wn_fail(err, WN_E_ARGUMENT, "out",
                   "%s.state is of another job that was not finished: give its options again, or "
                   "--restart to begin this one",
                   opt.out);
  r->state.job = hash;
  return WN_OK;
}

static wn_status open_store(run *r, wn_batch_job *job, wn_error *err) {
  wn_engine *engine = NULL;
  const wn_batch_ask ask = {.model = opt.models.len > 0 ? opt.models.data[0] : NULL,
                            .surface = opt.surface,
                            .keep_seen = opt.keep_seen,
                            .n = (uint32_t)opt.n,
                            .users_file = opt.users};
  wn_status status =
      wn_engine_open(opt.data, WN_STORE_READ, &r->config, &r->meter.progress, &engine, err);
  if (status != WN_OK) return status;
  status = wn_batch_store_create(engine, &ask, wn_pool_threads(r->pool), &r->state, &r->store, err);
  if (status != WN_OK) return status;
  r->unknown = wn_batch_store_unknown(r->store);
  *job = wn_batch_store_job(r->store, &r->state);
  return WN_OK;
}

static wn_status read_file(run *r, wn_error *err) {
  wn_status status;
  wn_cli_reader *reads = wn_cli_format(opt.format_in != NULL ? opt.format_in : "adjacency");
  if (reads == NULL)
    return wn_fail(err, WN_E_ARGUMENT, "train-format", "must be adjacency, sequence or pairs");
  r->builder = wn_dataset_builder_create(&r->config.signals);
  if (r->builder == NULL) return wn_fail_memory(err);
  WN_TRY(reads(opt.train, r->builder, err));
  WN_TRY(wn_cli_check_ids(r->builder, "train", err));
cleanup:
  return status;
}

static wn_status fit_file(run *r, wn_batch_job *job, wn_error *err) {
  wn_status status;
  wn_train_options *train = &r->config.train;
  train->seed = opt.seed;
  train->threads = (int)opt.threads;
  WN_TRY(wn_cli_choose_models(train, &opt.models, &opt.set, err));
  for (size_t i = 0; i < opt.dataset.len; i++)
    WN_TRY(wn_dataset_options_set(&train->dataset, opt.dataset.data[i], err));
  const wn_batch_files_ask ask = {
      .events = {wn_dataset_builder_events(r->builder), wn_dataset_builder_count(r->builder)},
      .signals = &r->config.signals,
      .train = train,
      .model = opt.models.data[0],
      .keep_seen = opt.keep_seen,
      .n = (uint32_t)opt.n};
  WN_TRY(wn_batch_files_create(&ask, wn_pool_threads(r->pool), &r->meter.progress, &r->files, err));
  r->state.users = wn_batch_files_users(r->files);
  *job = wn_batch_files_job(r->files);
cleanup:
  return status;
}

static wn_status batch(run *r, wn_error *err) {
  wn_status status;
  wn_batch_output output = {.path = opt.out, .chunk = opt.chunk, .progress = &r->meter.progress};
  wn_batch_job job;
  uint64_t hash = 0;
  int lock = -1;
  char path[4096];
  wn_meter_init(&r->meter);
  WN_TRY(choose_format(&output.format, err));
  WN_TRY(wn_cli_config(opt.config, opt.data, &r->config, err));
  if (opt.train != NULL) WN_TRY(read_file(r, err));
  WN_TRY(job_hash(r, output.format, &hash, err));
  snprintf(path, sizeof path, "%s.lock", opt.out);
  WN_TRY(wn_lock_file(path, &lock, err));
  WN_TRY(resume(r, hash, err));
  r->pool = output.pool = wn_pool_create((int)opt.threads);
  if (r->pool == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(opt.data != NULL ? open_store(r, &job, err) : fit_file(r, &job, err));
  WN_TRY(wn_batch_run(&job, &output, &r->state, &r->report, err));
  (void)remove(path);
cleanup:
  wn_meter_end(&r->meter);
  if (lock >= 0) wn_unlock_file(lock);
  wn_batch_store_free(r->store);
  wn_batch_files_free(r->files);
  wn_pool_free(r->pool);
  if (r->builder != NULL) wn_dataset_builder_free(r->builder);
  wn_config_clear(&r->config);
  return status;
}

static int print_report(const run *r) {
  const wn_batch_report *b = &r->report;
  wn_buf out = {0};
  if (!opt.json) {
    wn_buf_printf(&out, "%s: %" PRIu64 " users, %" PRIu64 " rows", opt.out, b->users, b->rows);
    if (b->users_before > 0)
      wn_buf_printf(&out, " (%" PRIu64 " users were there before)", b->users_before);
    if (b->users_empty > 0)
      wn_buf_printf(&out, ", %" PRIu64 " users without a list", b->users_empty);
    if (r->unknown > 0) wn_buf_printf(&out, ", %" PRIu64 " unknown users", r->unknown);
    wn_buf_printf(&out, "; ranked in %.2f s, formatted in %.2f s, written in %.2f s",
                  b->rank_seconds, b->format_seconds, b->write_seconds);
    return wn_cli_print(&out);
  }
  wn_json j;
  wn_json_init(&j, &out);
  wn_json_object(&j);
  const struct {
    const char *name;
    uint64_t value;
  } counts[] = {{"users", b->users},
                {"users_before", b->users_before},
                {"users_empty", b->users_empty},
                {"users_unknown", r->unknown},
                {"rows", b->rows},
                {"snapshot", r->state.snapshot},
                {"last_seq", r->state.seq}};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    wn_json_key(&j, counts[i].name);
    wn_json_int(&j, (int64_t)counts[i].value);
  }
  wn_json_key(&j, "rank_seconds");
  wn_json_double(&j, b->rank_seconds);
  wn_json_key(&j, "rank_cpu_seconds");
  wn_json_double(&j, b->rank_cpu_seconds);
  wn_json_key(&j, "format_seconds");
  wn_json_double(&j, b->format_seconds);
  wn_json_key(&j, "write_seconds");
  wn_json_double(&j, b->write_seconds);
  wn_json_end_object(&j);
  return wn_cli_print(&out);
}

static const char *wrong_usage(void) {
  if ((opt.data == NULL) == (opt.train == NULL)) return "give --data DIR or --train FILE";
  if (opt.out == NULL) return "--out is missing";
  if (opt.models.len > 1 || (opt.models.len == 1) == (opt.surface != NULL))
    return "give one --model or one --surface";
  if (opt.train != NULL && (opt.surface != NULL || opt.users != NULL))
    return "--surface and --users go with --data";
  if (opt.data != NULL && (opt.set.len > 0 || opt.dataset.len > 0 || opt.format_in != NULL))
    return "--set, --dataset and --train-format go with --train: a data directory is asked as it "
           "was trained";
  if (opt.surface != NULL && opt.keep_seen)
    return "--keep-seen goes with --model: a surface has filters of its own";
  if (opt.n < 1 || opt.n > WN_SLATE_MAX || opt.threads > 1024 || opt.chunk < 1 ||
      opt.chunk > 1000000)
    return "--n takes 1 to 1000, --threads up to 1024, --chunk 1 to 1000000";
  return NULL;
}

int wn_cmd_batch(int argc, char **argv) {
  static run r;
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, NULL);
  if (status >= 0) return status;
  const char *wrong = wrong_usage();
  if (wrong != NULL) return wn_cli_usage(&command, "%s", wrong);
  return batch(&r, &err) == WN_OK ? print_report(&r) : wn_cli_fail(&command, &err);
}
