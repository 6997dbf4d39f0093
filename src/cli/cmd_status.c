/* winnow status: what a data directory holds. Reads only; works beside a running server. */
#include "cli/cli.h"

#include "base/clock.h"
#include "cli/objective_print.h"
#include "model/snapshot.h"
#include "serve/answer_json.h"
#include "serve/config_history.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct {
  const char *data, *example;
  bool json, digest;
} opt;
static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory"},
    {"example", WN_OPT_TEXT, &opt.example, "user|item", "print one id alone: of the latest event"},
    {"digest", WN_OPT_FLAG, &opt.digest, NULL,
     "print a digest of the state alone, which equals a running server's GET /v1/digest"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"}};
static const wn_command command = {
    "status", "say what a data directory holds", "--data DIR", NULL, options, 4};

typedef struct latest {
  wn_user_ix user;
  wn_item_ix item;
} latest;

static wn_status take_latest(void *ctx, const wn_stored_event *event, wn_error *err WN_UNUSED) {
  *(latest *)ctx = (latest){event->user, event->item};
  return WN_OK;
}

static wn_status print_example(wn_store *store, const wn_store_counts *counts, wn_buf *out,
                               wn_error *err) {
  latest last = {WN_NO_IX, WN_NO_IX};
  bool user = strcmp(opt.example, "user") == 0;
  if (!user && strcmp(opt.example, "item") != 0)
    return wn_fail(err, WN_E_ARGUMENT, "example", "must be user or item, got `%s`", opt.example);
  uint64_t after = counts->last_seq > 0 ? counts->last_seq - 1 : 0;
  wn_status status = wn_store_scan_events(store, after, 0, take_latest, &last, err);
  if (status != WN_OK) return status;
  wn_str id = user ? wn_dict_key(wn_store_users(store), last.user)
                   : wn_dict_key(wn_store_items(store), last.item);
  if (id.ptr == NULL) return wn_fail(err, WN_E_NOT_FOUND, "", "there are no events yet");
  wn_buf_append(out, id.ptr, id.len);
  return WN_OK;
}

/* What is kept beside the store. */
typedef struct kept {
  size_t snapshots;
  uint64_t bytes, newest;
  char verdict[32];         /* of the newest; "" */
  wn_config_version config; /* number 0: none has served */
} kept;

static wn_status look_kept(const wn_snapshot_entry *entries, size_t count, kept *out,
                           wn_error *err) {
  wn_status status;
  wn_config_history history = {NULL, 0};
  *out = (kept){.snapshots = count, .newest = count > 0 ? entries[0].number : 0};
  for (size_t i = 0; i < count; i++) out->bytes += entries[i].bytes;
  if (count > 0) wn_cli_verdict(opt.data, out->newest, out->verdict, sizeof out->verdict);
  WN_TRY(wn_config_history_read(opt.data, &history, err));
  if (history.len > 0) out->config = history.data[history.len - 1];
cleanup:
  wn_config_history_clear(&history);
  return status;
}

static void print_kept(const kept *k, wn_buf *out) {
  char bytes[32], age[32];
  if (k->snapshots > 0)
    wn_buf_printf(out, "\nkept      %zu snapshots, %s; the newest is %" PRIu64 "%s%s", k->snapshots,
                  wn_human_bytes((double)k->bytes, bytes, sizeof bytes), k->newest,
                  k->verdict[0] != '\0' ? ": " : "", k->verdict);
  if (k->config.number > 0)
    wn_buf_printf(out, "\nconfig    version %" PRIu64 ", %s old, by %s%s%s", k->config.number,
                  wn_human_age(wn_now_ms() - k->config.time_ms, age, sizeof age), k->config.author,
                  k->config.comment[0] != '\0' ? ": " : "", k->config.comment);
}

static void print_json(const wn_store_counts *c, const wn_snapshot_entry *current,
                       const wn_objective_summary *objectives, const kept *k, wn_buf *out) {
  const struct {
    const char *key;
    int64_t value;
  } rows[] = {{"events", (int64_t)c->events},
              {"items", (int64_t)c->items},
              {"items_hidden", (int64_t)c->items_hidden},
              {"users", (int64_t)c->users},
              {"slates", (int64_t)c->slates},
              {"last_seq", (int64_t)c->last_seq},
              {"first_ms", c->first_ms},
              {"last_ms", c->last_ms},
              {"bytes", (int64_t)c->bytes},
              {"snapshot", current != NULL ? (int64_t)current->number : 0},
              {"snapshots", (int64_t)k->snapshots},
              {"snapshots_bytes", (int64_t)k->bytes},
              {"snapshot_newest", (int64_t)k->newest},
              {"config_version", (int64_t)k->config.number},
              {"events_since_snapshot",
               (int64_t)(c->last_seq - (current != NULL ? current->about.last_seq : 0))}};
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    wn_json_key(&j, rows[i].key);
    wn_json_int(&j, rows[i].value);
  }
  wn_json_key(&j, "verdict_newest");
  wn_json_cstring(&j, k->verdict[0] != '\0' ? k->verdict : NULL);
  wn_json_key(&j, "objectives");
  wn_objective_summary_json(objectives, &j);
  wn_json_end_object(&j);
}

static void print_text(const wn_store *store, const wn_store_counts *c,
                       const wn_snapshot_entry *current, wn_buf *out) {
  char first[32] = "-", last[32] = "-", bytes[32], age[32];
  if (c->events > 0) {
    wn_time_format(c->first_ms, first, sizeof first);
    wn_time_format(c->last_ms, last, sizeof last);
  }
  wn_buf_printf(out, "events    %" PRIu64 "  (%.10s … %.10s; types:", c->events, first, last);
  const wn_dict *types = wn_store_types(store);
  for (uint32_t t = 0; t < wn_dict_count(types); t++)
    wn_buf_printf(out, "%s %.*s", t > 0 ? "," : "", WN_STR_ARG(wn_dict_key(types, t)));
  wn_buf_printf(out,
                ")\nitems     %" PRIu64 "  (%" PRIu64 " hidden)\nusers     %" PRIu64
                "\nslates    %" PRIu64 "\non disk   %s\n",
                c->items, c->items_hidden, c->users, c->slates,
                wn_human_bytes((double)c->bytes, bytes, sizeof bytes));
  if (current == NULL) {
    wn_buf_printf(out, "snapshot  none: winnow train --data %s", opt.data);
    return;
  }
  wn_buf_printf(out, "snapshot  %" PRIu64 ", %s old, %" PRIu64 " events behind the log (%s)",
                current->number,
                wn_human_age(wn_now_ms() - current->about.created_ms, age, sizeof age),
                c->last_seq - current->about.last_seq, current->about.models);
}

/* Opens the data as a server would when it starts: snapshot, then the log's tail. */
static wn_status print_digest(wn_buf *out, wn_error *err) {
  wn_engine *engine = NULL;
  wn_engine_digest digest;
  wn_config config;
  wn_meter meter;
  wn_status status;
  wn_meter_init(&meter);
  WN_TRY(wn_cli_config(NULL, opt.data, &config, err));
  WN_TRY(wn_engine_open(opt.data, WN_STORE_READ, &config, &meter.progress, &engine, err));
  WN_TRY(wn_engine_digest_get(engine, &digest, err));
  wn_engine_digest_to_json(&digest, out);
cleanup:
  wn_meter_end(&meter);
  if (engine != NULL) wn_engine_close(engine);
  return status;
}

static wn_status run(wn_buf *out, wn_error *err) {
  if (opt.digest) return print_digest(out, err);
  wn_store *store = NULL;
  wn_snapshot_entry *entries = NULL, *current = NULL;
  wn_store_counts counts;
  kept k;
  wn_objective_summary objectives = {0};
  size_t count = 0;
  wn_status status;
  WN_TRY(wn_store_open(opt.data, WN_STORE_READ, &store, err));
  WN_TRY(wn_store_counts_get(store, &counts, err));
  if (opt.example != NULL) {
    WN_TRY(print_example(store, &counts, out, err));
    goto cleanup;
  }
  WN_TRY(wn_snapshot_list(opt.data, false, &entries, &count, err));
  for (size_t i = 0; i < count; i++)
    if (entries[i].current && entries[i].readable) current = &entries[i];
  if (current != NULL)
    WN_TRY(wn_objective_summary_read(opt.data, current->number, &objectives, err));
  WN_TRY(look_kept(entries, count, &k, err));
  if (opt.json) {
    print_json(&counts, current, &objectives, &k, out);
  } else {
    print_text(store, &counts, current, out);
    print_kept(&k, out);
  }
  if (!opt.json) wn_objective_summary_print(&objectives, out);
cleanup:
  wn_objective_summary_clear(&objectives);
  wn_free(entries);
  wn_store_close(store);
  return status;
}

int wn_cmd_status(int argc, char **argv) {
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, NULL);
  if (status >= 0) return status;
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  if (run(&out, &err) == WN_OK) return wn_cli_print(&out);
  wn_buf_clear(&out);
  return wn_cli_fail(&command, &err);
}
