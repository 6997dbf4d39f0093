/* Options from a table; the same table writes the help. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void wn_cli_help(const wn_command *command) {
  printf("winnow %s: %s\n\nUsage: winnow %s %s\n\nOptions:\n", command->name, command->summary,
         command->name, command->usage);
  for (size_t i = 0; i < command->options_len; i++) {
    const wn_option *o = &command->options[i];
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", o->name, o->value_name != NULL ? " " : "",
             o->value_name != NULL ? o->value_name : "");
    printf("  %-26s %s\n", left, o->help);
  }
  printf("  %-26s %s\n", "--help", "this text");
  if (command->notes != NULL) printf("\n%s\n", command->notes);
}

int wn_cli_usage(const wn_command *command, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "winnow %s: ", command->name);
  vfprintf(stderr, format, args);
  fprintf(stderr, " (see `winnow %s --help`)\n", command->name);
  va_end(args);
  return 2;
}

int wn_cli_fail(const wn_command *command, const wn_error *err) {
  char text[1024];
  fprintf(stderr, "winnow %s: %s\n", command->name, wn_error_format(err, text, sizeof text));
  return wn_status_exit(err->status);
}

static const wn_option *find(const wn_command *command, const char *name, size_t len) {
  for (size_t i = 0; i < command->options_len; i++)
    if (strlen(command->options[i].name) == len && memcmp(command->options[i].name, name, len) == 0)
      return &command->options[i];
  return NULL;
}

/* False: the value is not what the option takes. */
static bool store(const wn_option *option, const char *value) {
  int64_t whole;
  switch (option->kind) {
  case WN_OPT_FLAG: *(bool *)option->target = true; return true;
  case WN_OPT_TEXT: *(const char **)option->target = value; return true;
  case WN_OPT_REAL: return wn_parse_double(wn_str_of(value), option->target);
  case WN_OPT_LIST: {
    wn_text_list *list = option->target;
    return wn_vec_push(list, value);
  }
  case WN_OPT_UINT:
    if (!wn_parse_int64(wn_str_of(value), &whole) || whole < 0) return false;
    *(uint64_t *)option->target = (uint64_t)whole;
    return true;
  }
  return false;
}

/* One option at argv[*i]; −1 or the exit status. */
static int take(const wn_command *command, int argc, char **argv, int *i) {
  const char *name = argv[*i] + 2;
  const char *equals = strchr(name, '=');
  const wn_option *option =
      find(command, name, equals != NULL ? (size_t)(equals - name) : strlen(name));
  if (option == NULL) return wn_cli_usage(command, "there is no option `%s`", argv[*i]);
  const char *value = equals != NULL ? equals + 1 : NULL;
  if (option->kind == WN_OPT_FLAG && value != NULL)
    return wn_cli_usage(command, "--%s takes no value", option->name);
  if (option->kind != WN_OPT_FLAG && value == NULL) {
    if (*i + 1 >= argc)
      return wn_cli_usage(command, "--%s needs %s", option->name, option->value_name);
    value = argv[++*i];
  }
  if (!store(option, value))
    return wn_cli_usage(command, "--%s takes %s, not `%s`", option->name,
                        option->kind == WN_OPT_UINT ? "a whole number from 0" : "a number", value);
  return -1;
}

int wn_cli_parse(const wn_command *command, int argc, char **argv, wn_text_list *rest) {
  bool only_rest = false;
  for (int i = 0; i < argc; i++) {
    if (only_rest || argv[i][0] != '-' || argv[i][1] == '\0') {
      if (rest == NULL) return wn_cli_usage(command, "what is `%s`?", argv[i]);
      if (!wn_vec_push(rest, argv[i])) return wn_status_exit(WN_E_MEMORY);
    } else if (strcmp(argv[i], "--") == 0) {
      only_rest = true;
    } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
      wn_cli_help(command);
      return 0;
    } else if (argv[i][1] != '-') {
      return wn_cli_usage(command, "there is no option `%s`", argv[i]);
    } else {
      int status = take(command, argc, argv, &i);
      if (status >= 0) return status;
    }
  }
  return -1;
}

wn_status wn_cli_config(const char *config_path, const char *data_dir, wn_config *config,
                        wn_error *err) {
  char beside[4096];
  struct stat st;
  if (config_path == NULL && data_dir != NULL) {
    snprintf(beside, sizeof beside, "%s/winnow.yaml", data_dir);
    if (stat(beside, &st) == 0) config_path = beside;
  }
  return wn_config_load(config_path, config, err);
}
