/* winnow COMMAND …: finds the command and hands over. */
#include "cli/cli.h"

#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *summary;
} commands[] = {
    {"import", wn_cmd_import, "read events, items and users from files into a data directory"},
    {"train", wn_cmd_train, "fit the models on the data and write a snapshot"},
    {"evaluate", wn_cmd_evaluate,
     "split, train on the past, measure every model and the whole funnel"},
    {"dataset", wn_cmd_dataset, "what a data set holds, and whether it carries an evaluation"},
    {"tune", wn_cmd_tune, "search better parameters for a model"},
    {"batch", wn_cmd_batch, "write the best items of every user into a file"},
    {"recommend", wn_cmd_recommend, "print a slate for a user"},
    {"similar", wn_cmd_similar, "print what is like an item, or who is like a user"},
    {"serve", wn_cmd_serve, "answer HTTP requests"},
    {"status", wn_cmd_status, "say what a data directory holds"},
    {"top", wn_cmd_top, "what a running server does, live"},
    {"snapshots", wn_cmd_snapshots, "list, verify or roll back trained snapshots"},
    {"keys", wn_cmd_keys, "add, list or revoke keys of the HTTP API"},
    {"index", wn_cmd_index, "build, search, measure or verify an index of vectors"},
    {"experiments", wn_cmd_experiments, "what experiments show, or how long one would take"},
    {"simulate", wn_cmd_simulate, "visits of made-up users, whose satisfaction is known"},
    {"ope", wn_cmd_ope, "what would a policy have earned on a log of decisions?"},
    {"replay", wn_cmd_replay, "what would this configuration have earned on the log?"},
    {"check", wn_cmd_check, "behaviour tests of what is served"},
    {"runs", wn_cmd_runs, "list, show, compare, tag or export what was trained and measured"},
    {"lab", wn_cmd_lab, "recompute worked cases of metrics and statistics"},
    {"check-config", wn_cmd_check_config, "check a configuration file without starting"},
};
static const size_t command_count = sizeof commands / sizeof commands[0];

static void print_help(FILE *out) {
  fprintf(out,
          "winnow %s: a recommender engine: retrieve, filter, score, order\n\n"
          "Usage: winnow COMMAND [OPTIONS]\n\nCommands:\n",
          WINNOW_VERSION);
  for (size_t i = 0; i < command_count; i++)
    fprintf(out, "  %-13s %s\n", commands[i].name, commands[i].summary);
  fprintf(out, "\n`winnow COMMAND --help` tells a command's options. Exit status: 0 done");
#define X(name, text, http, exit)                                                                  \
  if (exit != 0) fprintf(out, ", %d %s", exit, text);
  WN_STATUS_TABLE(X)
#undef X
  fprintf(out, ".\n");
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  wn_log_set(wn_log_stderr, NULL, WN_LOG_WARN);
  if (argc < 2) {
    print_help(stderr);
    return 2;
  }
  if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
    printf("winnow %s\n", WINNOW_VERSION);
    return 0;
  }
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
      strcmp(argv[1], "help") == 0) {
    print_help(stdout);
    return 0;
  }
  wn_cli_record_begin(argc - 2, argv + 2);
  for (size_t i = 0; i < command_count; i++)
    if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 2, argv + 2);
  fprintf(stderr, "winnow: there is no command `%s`; `winnow --help` lists them\n", argv[1]);
  return 2;
}
