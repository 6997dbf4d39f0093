/* winnow snapshots list|verify|rollback. */
#include "cli/cli.h"

#include "base/clock.h"
#include "model/snapshot.h"
#include "serve/restore.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct {
  const char *data;
  const char *config;
  bool json, keep_config;
} opt;
static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE", "rollback: default: the last server's"},
    {"keep-config", WN_OPT_FLAG, &opt.keep_config, NULL, "rollback: the snapshot alone"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"}};
static const wn_command command = {
    "snapshots",
    "list, verify or roll back trained snapshots",
    "list|verify|rollback --data DIR [NUMBER]",
    "list               what there is, newest first; * marks the one that is served\n"
    "verify [NUMBER]    reads every byte and checks every checksum; exit status 9 when one is "
    "damaged\n"
    "rollback [NUMBER]  serves NUMBER, or the one before the current, with the configuration that "
    "it "
    "was trained by; a running server follows within a second",
    options,
    4};

void wn_cli_verdict(const char *dir, uint64_t number, char *out, size_t size) {
  wn_buf text = {0};
  wn_error ignored = {0};
  json_error_t why;
  out[0] = '\0';
  if (wn_snapshot_verdict_read(dir, number, &text, &ignored) == WN_OK && text.len > 0) {
    json_t *json = json_loadb(text.data, text.len, 0, &why);
    const char *verdict = json_string_value(json_object_get(json, "verdict"));
    snprintf(out, size, "%s", verdict != NULL ? verdict : "");
    json_decref(json);
  }
  wn_buf_clear(&text);
}

static void print_json(const wn_snapshot_entry *entries, size_t count, bool verified, wn_buf *out) {
  wn_json j;
  char verdict[32];
  wn_json_init(&j, out);
  wn_json_array(&j);
  for (size_t i = 0; i < count; i++) {
    const wn_snapshot_entry *e = &entries[i];
    wn_json_object(&j);
    wn_json_key(&j, "number");
    wn_json_int(&j, (int64_t)e->number);
    wn_json_key(&j, "current");
    wn_json_bool(&j, e->current);
    wn_json_key(&j, verified ? "verified" : "readable");
    wn_json_bool(&j, e->readable);
    wn_json_key(&j, "bytes");
    wn_json_int(&j, (int64_t)e->bytes);
    if (e->readable) {
      wn_json_key(&j, "users");
      wn_json_int(&j, e->about.users);
      wn_json_key(&j, "items");
      wn_json_int(&j, e->about.items);
      wn_json_key(&j, "interactions");
      wn_json_int(&j, (int64_t)e->about.nnz);
      wn_json_key(&j, "created_ms");
      wn_json_int(&j, e->about.created_ms);
      wn_json_key(&j, "models");
      wn_json_cstring(&j, e->about.models);
      wn_json_key(&j, "verdict");
      wn_cli_verdict(opt.data, e->number, verdict, sizeof verdict);
      wn_json_cstring(&j, verdict[0] != '\0' ? verdict : NULL);
    } else {
      wn_json_key(&j, "reason");
      wn_json_cstring(&j, e->reason);
    }
    wn_json_end_object(&j);
  }
  wn_json_end_array(&j);
}

static void print_table(const wn_snapshot_entry *entries, size_t count, bool verified,
                        wn_buf *out) {
  wn_table table;
  wn_table_init(&table, 8, 0x3E);
  const char *head[] = {"snapshot", "age",          "size", "users",
                        "items",    "interactions", "gate", verified ? "verified" : "state"};
  for (size_t i = 0; i < 8; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < count; i++) {
    const wn_snapshot_entry *e = &entries[i];
    char age[32] = "?", bytes[32], verdict[32];
    if (e->readable) wn_human_age(wn_now_ms() - e->about.created_ms, age, sizeof age);
    wn_table_cell(&table, "%06" PRIu64 "%s", e->number, e->current ? " *" : "");
    wn_table_cell(&table, "%s", age);
    wn_table_cell(&table, "%s", wn_human_bytes((double)e->bytes, bytes, sizeof bytes));
    wn_table_cell(&table, "%" PRIu32, e->about.users);
    wn_table_cell(&table, "%" PRIu32, e->about.items);
    wn_table_cell(&table, "%" PRIu64, e->about.nnz);
    wn_cli_verdict(opt.data, e->number, verdict, sizeof verdict);
    wn_table_cell(&table, "%s", verdict[0] != '\0' ? verdict : "-");
    wn_table_cell(&table, "%s", e->readable ? "good" : e->reason);
  }
  wn_table_print(&table, out);
  if (out->len > 0) out->len--; /* wn_cli_print ends the line */
}

static int list(bool verify, bool one, uint64_t number) {
  wn_snapshot_entry *entries = NULL;
  size_t count = 0, kept = 0, bad = 0;
  wn_error err = {0};
  wn_buf out = {0};
  if (wn_snapshot_list(opt.data, verify, &entries, &count, &err) != WN_OK)
    return wn_cli_fail(&command, &err);
  for (size_t i = 0; i < count; i++) {
    if (one && entries[i].number != number) continue;
    bad += !entries[i].readable;
    entries[kept++] = entries[i];
  }
  if (one && kept == 0) {
    wn_free(entries);
    (void)wn_fail(&err, WN_E_NOT_FOUND, "NUMBER", "there is no snapshot %" PRIu64 " in %s", number,
                  opt.data);
    return wn_cli_fail(&command, &err);
  }
  if (opt.json)
    print_json(entries, kept, verify, &out);
  else if (kept == 0)
    wn_buf_printf(&out, "no snapshots yet: winnow train --data %s", opt.data);
  else
    print_table(entries, kept, verify, &out);
  wn_free(entries);
  int status = wn_cli_print(&out);
  return status == 0 && verify && bad > 0 ? wn_status_exit(WN_E_CORRUPT) : status;
}

/* The newest number below the current one; 0: none. */
static uint64_t before_current(const wn_snapshot_entry *entries, size_t count) {
  uint64_t current = 0;
  for (size_t i = 0; i < count; i++)
    if (entries[i].current) current = entries[i].number;
  for (size_t i = 0; i < count; i++) /* newest first */
    if (entries[i].number < current && entries[i].readable) return entries[i].number;
  return 0;
}

static void print_rollback(uint64_t number, wn_restored restored, uint64_t version, wn_buf *out) {
  if (opt.json) {
    wn_buf_printf(out, "{\"current\":%" PRIu64 ",\"config_restored\":%s", number,
                  restored == WN_RESTORED ? "true" : "false");
    if (version > 0) wn_buf_printf(out, ",\"config\":%" PRIu64, version);
    wn_buf_printf(out, "}");
    return;
  }
  wn_buf_printf(out, "snapshot %" PRIu64 " is the current one", number);
  if (restored == WN_RESTORED)
    wn_buf_printf(out, ", with version %" PRIu64 " of the configuration", version);
  if (restored == WN_RESTORED_UNKNOWN)
    wn_buf_printf(out, "; what it was trained by never served: the configuration stays as it is");
}

static int rollback(bool one, uint64_t number) {
  wn_snapshot_entry *entries = NULL;
  size_t count = 0;
  wn_error err = {0};
  wn_buf out = {0};
  if (!one) {
    if (wn_snapshot_list(opt.data, false, &entries, &count, &err) != WN_OK)
      return wn_cli_fail(&command, &err);
    number = before_current(entries, count);
    wn_free(entries);
    if (number == 0) {
      (void)wn_fail(&err, WN_E_NOT_FOUND, "", "there is no snapshot before the current one");
      return wn_cli_fail(&command, &err);
    }
  }
  wn_restored restored = WN_RESTORED_SAME;
  uint64_t version = 0;
  if (!opt.keep_config &&
      wn_restore_config(opt.data, opt.config, number, &restored, &version, &err) != WN_OK)
    return wn_cli_fail(&command, &err);
  if (wn_snapshot_set_current(opt.data, number, &err) != WN_OK) return wn_cli_fail(&command, &err);
  print_rollback(number, restored, version, &out);
  return wn_cli_print(&out);
}

int wn_cmd_snapshots(int argc, char **argv) {
  static wn_text_list rest;
  int64_t number = 0;
  struct stat st;
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  const char *verb = rest.len > 0 ? rest.data[0] : NULL;
  bool one = rest.len > 1;
  bool good = !one || (wn_parse_int64(wn_str_of(rest.data[1]), &number) && number > 0);
  size_t given = rest.len;
  if (verb == NULL || given > 2) return wn_cli_usage(&command, "say list, verify or rollback");
  if (!good) return wn_cli_usage(&command, "a snapshot's number is a whole number from 1");
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  if (stat(opt.data, &st) != 0) {
    wn_error err = {0};
    (void)wn_fail(&err, WN_E_NOT_FOUND, "data", "there is no folder %s", opt.data);
    return wn_cli_fail(&command, &err);
  }
  if (strcmp(verb, "list") == 0) return list(false, one, (uint64_t)number);
  if (strcmp(verb, "verify") == 0) return list(true, one, (uint64_t)number);
  if (strcmp(verb, "rollback") == 0) return rollback(one, (uint64_t)number);
  return wn_cli_usage(&command, "say list, verify or rollback, not `%s`", verb);
}
