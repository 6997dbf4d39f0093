/* winnow keys add|list|revoke. */
#include "cli/cli.h"

#include "base/clock.h"
#include "serve/audit.h"
#include "serve/keys.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
  const char *data, *name, *scope;
  uint64_t rate;
  bool json;
} opt = {.name = "", .scope = "read,write"};
static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory"},
    {"name", WN_OPT_TEXT, &opt.name, "TEXT", "add: what the key is for"},
    {"scope", WN_OPT_TEXT, &opt.scope, "LIST",
     "add: of read, write, admin (which has all); default read,write"},
    {"rate", WN_OPT_UINT, &opt.rate, "N", "add: requests a second; 0, the default: no limit"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"}};
static const wn_command command = {
    "keys",
    "add, list or revoke keys of the HTTP API",
    "add|list|revoke --data DIR [ID]",
    "add         prints a new key, once: only its hash is kept\n"
    "list        the keys there are\n"
    "revoke ID   it is refused within a second\n"
    "As long as there is no key, everybody who reaches the server may do everything, but for "
    "admin\n"
    "routes from other machines. To rotate a key add another, hand it out, revoke the old one.",
    options,
    sizeof options / sizeof options[0]};

static void audit(const char *verb, const char *id, int status) {
  char actor[32], action[128];
  snprintf(actor, sizeof actor, "cli:%ld", (long)getuid());
  snprintf(action, sizeof action, "keys %s %s", verb, id);
  wn_audit(opt.data, &(wn_audit_entry){.actor = actor, .action = action, .status = status});
}

static int add(void) {
  wn_error err = {0};
  wn_buf out = {0};
  char text[WN_KEY_TEXT_MAX];
  wn_key_record record = {.rate = (double)opt.rate};
  if (strlen(opt.name) >= sizeof record.name)
    return wn_cli_usage(&command, "--name takes at most %zu bytes", sizeof record.name - 1);
  snprintf(record.name, sizeof record.name, "%s", opt.name);
  if (wn_scopes_parse(opt.scope, &record.scopes, &err) != WN_OK ||
      wn_keys_add(opt.data, &record, text, &err) != WN_OK)
    return wn_cli_fail(&command, &err);
  audit("add", record.id, 0);
  if (opt.json)
    wn_buf_printf(&out, "{\"id\":\"%s\",\"key\":\"%s\"}", record.id, text);
  else
    wn_buf_printf(&out, "%s", text);
  return wn_cli_print(&out);
}

static void print_json(const wn_key_list *keys, wn_buf *out) {
  wn_json j;
  wn_buf scopes = {0};
  wn_json_init(&j, out);
  wn_json_array(&j);
  for (size_t i = 0; i < keys->len; i++) {
    const wn_key_record *k = &keys->data[i];
    wn_buf_reset(&scopes);
    wn_scopes_write(k->scopes, &scopes);
    wn_json_object(&j);
    wn_json_key(&j, "id");
    wn_json_cstring(&j, k->id);
    wn_json_key(&j, "name");
    wn_json_cstring(&j, k->name);
    wn_json_key(&j, "scopes");
    wn_json_string(&j, (wn_str){scopes.data, scopes.len});
    wn_json_key(&j, "rate");
    wn_json_double(&j, k->rate);
    wn_json_key(&j, "created_ms");
    wn_json_int(&j, k->created_ms);
    wn_json_end_object(&j);
  }
  wn_json_end_array(&j);
  wn_buf_clear(&scopes);
}

static void print_table(const wn_key_list *keys, wn_buf *out) {
  wn_table table;
  wn_buf scopes = {0};
  char age[32];
  wn_table_init(&table, 5, 0x18);
  const char *head[] = {"id", "name", "scopes", "rate", "age"};
  for (size_t i = 0; i < 5; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < keys->len; i++) {
    const wn_key_record *k = &keys->data[i];
    wn_buf_reset(&scopes);
    wn_scopes_write(k->scopes, &scopes);
    wn_table_cell(&table, "%s", k->id);
    wn_table_cell(&table, "%s", k->name);
    wn_table_cell(&table, "%.*s", (int)scopes.len, scopes.data);
    wn_table_cell(&table, "%g", k->rate);
    wn_table_cell(&table, "%s", wn_human_age(wn_now_ms() - k->created_ms, age, sizeof age));
  }
  wn_table_print(&table, out);
  if (out->len > 0) out->len--; /* wn_cli_print ends the line */
  wn_buf_clear(&scopes);
}

static int list(void) {
  wn_error err = {0};
  wn_buf out = {0};
  wn_key_list keys;
  if (wn_keys_load(opt.data, &keys, &err) != WN_OK) return wn_cli_fail(&command, &err);
  if (opt.json)
    print_json(&keys, &out);
  else if (keys.len == 0)
    wn_buf_printf(&out, "no keys: whoever reaches the server may use it");
  else
    print_table(&keys, &out);
  wn_free(keys.data);
  return wn_cli_print(&out);
}

static int revoke_one(const char *id) {
  wn_error err = {0};
  wn_buf out = {0};
  if (wn_keys_revoke(opt.data, id, &err) != WN_OK) return wn_cli_fail(&command, &err);
  audit("revoke", id, 0);
  wn_buf_printf(&out, opt.json ? "{\"revoked\":\"%s\"}" : "%s is revoked", id);
  return wn_cli_print(&out);
}

int wn_cmd_keys(int argc, char **argv) {
  static wn_text_list rest;
  struct stat st;
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  const char *verb = rest.len > 0 ? rest.data[0] : "";
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  if (stat(opt.data, &st) != 0) {
    wn_error err = {0};
    (void)wn_fail(&err, WN_E_NOT_FOUND, "data", "there is no folder %s", opt.data);
    return wn_cli_fail(&command, &err);
  }
  if (strcmp(verb, "add") == 0 && rest.len == 1) return add();
  if (strcmp(verb, "list") == 0 && rest.len == 1) return list();
  if (strcmp(verb, "revoke") == 0 && rest.len == 2) return revoke_one(rest.data[1]);
  return wn_cli_usage(&command, "say add, list or revoke ID");
}
