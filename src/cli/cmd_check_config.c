/* winnow check-config: everything that serve would refuse, without starting. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

static bool json;
static const wn_option options[] = {{"json", WN_OPT_FLAG, &json, NULL, "the answer as JSON"}};
static const wn_command command = {
    "check-config", "check a configuration file without starting", "FILE", NULL, options, 1};

static int print_bad(const char *file, const wn_error *err) {
  wn_buf out = {0};
  wn_json j;
  wn_json_init(&j, &out);
  wn_json_object(&j);
  wn_json_key(&j, "valid");
  wn_json_bool(&j, false);
  wn_json_key(&j, "file");
  wn_json_cstring(&j, file);
  wn_json_key(&j, "line");
  wn_json_int(&j, err->line);
  wn_json_key(&j, "column");
  wn_json_int(&j, err->column);
  wn_json_key(&j, "field");
  wn_json_cstring(&j, err->field);
  wn_json_key(&j, "message");
  wn_json_cstring(&j, err->message);
  wn_json_end_object(&j);
  int printed = wn_cli_print(&out);
  return printed != 0 ? printed : wn_status_exit(err->status);
}

static int print_good(const char *file, const wn_config *config) {
  wn_buf out = {0};
  wn_json j;
  wn_json_init(&j, &out);
  if (json) {
    wn_json_object(&j);
    wn_json_key(&j, "valid");
    wn_json_bool(&j, true);
    wn_json_key(&j, "surfaces");
    wn_json_array(&j);
  } else {
    wn_buf_printf(&out, "%s is good: surfaces", file);
  }
  for (size_t i = 0; i < config->surfaces.len; i++) {
    if (json)
      wn_json_cstring(&j, config->surfaces.data[i].name);
    else
      wn_buf_printf(&out, "%s %s", i > 0 ? "," : "", config->surfaces.data[i].name);
  }
  if (json) {
    wn_json_end_array(&j);
    wn_json_end_object(&j);
  }
  return wn_cli_print(&out);
}

int wn_cmd_check_config(int argc, char **argv) {
  static wn_text_list files;
  wn_config config;
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, &files);
  if (status >= 0) return status;
  if (files.len != 1) return wn_cli_usage(&command, "give one file");
  const char *file = files.data[0];
  if (wn_config_load(file, &config, &err) != WN_OK)
    return json ? print_bad(file, &err) : wn_cli_fail(&command, &err);
  status = print_good(file, &config);
  wn_config_clear(&config);
  return status;
}
