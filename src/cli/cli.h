#ifndef WN_CLI_CLI_H
#define WN_CLI_CLI_H
/* What the commands share: options declared in a table (which also writes the help), errors,
 * tables, progress. Every command prints results to standard output, all else to standard error,
 * takes --json where it has a result, and exits with wn_status_exit() (2: wrong usage). */

#include "base/json_write.h"
#include "base/progress.h"
#include "base/vec.h"
#include "data/reader.h"
#include "serve/config.h"

typedef enum wn_option_kind {
  WN_OPT_FLAG, /* bool * */
  WN_OPT_TEXT, /* const char ** */
  WN_OPT_UINT, /* uint64_t *, decimal */
  WN_OPT_REAL, /* double * */
  WN_OPT_LIST, /* wn_text_list *: may be given again and again */
} wn_option_kind;

/* Of arguments: static in each command, for they live as long as the process. */
typedef WN_VEC(const char *) wn_text_list;

typedef struct wn_option {
  const char *name; /* without the dashes */
  wn_option_kind kind;
  void *target;
  const char *value_name; /* "FILE"; NULL for flags */
  const char *help;
} wn_option;

typedef struct wn_command {
  const char *name;
  const char *summary;
  const char *usage; /* after the name: "--data DIR [FILE …]" */
  const char *notes; /* shown at the end of --help; NULL: none */
  const wn_option *options;
  size_t options_len;
} wn_command;

/* Parses argv (after the command's name). `rest` takes the other arguments. Returns −1 to go on,
 * else the exit status (0 after --help, 2 after a complaint). */
int wn_cli_parse(const wn_command *command, int argc, char **argv, wn_text_list *rest);
void wn_cli_help(const wn_command *command);

/* Prints "winnow COMMAND: error" and returns the exit status. */
int wn_cli_fail(const wn_command *command, const wn_error *err);
int wn_cli_usage(const wn_command *command, const char *format, ...) WN_PRINTF(2, 3);

/* --config, else DIR/winnow.yaml when it is there, else the defaults. */
WN_MUST_USE wn_status wn_cli_config(const char *config_path, const char *data_dir,
                                    wn_config *config, wn_error *err);

/* --virtual-clock TIME: from now on the process lives then; NULL: it does not. */
WN_MUST_USE wn_status wn_cli_clock(const char *time, wn_error *err);

/* Writes buf and a newline to standard output, and frees it; the exit status (6 when it cannot). */
int wn_cli_print(wn_buf *buf);

/* Progress to standard error: a line that redraws itself on a terminal, else key=value lines every
 * few seconds. */
typedef struct wn_meter {
  wn_progress progress; /* hand &meter.progress to the work */
  bool terminal;
  char stage[64];
  uint64_t stage_ns, shown_ns;
  uint64_t period_ns; /* between two lines */
  double done, total;
  bool drawn;
} wn_meter;
void wn_meter_init(wn_meter *meter);
void wn_meter_end(wn_meter *meter); /* clears the line */

/* A table with aligned columns: rows of cells, the first row being the head. Widths count code
 * points. */
typedef struct wn_table {
  wn_buf cells; /* NUL-separated */
  size_t columns;
  size_t count;
  uint32_t right; /* bit c: column c is right-aligned */
} wn_table;
void wn_table_init(wn_table *table, size_t columns, uint32_t right);
void wn_table_cell(wn_table *table, const char *format, ...) WN_PRINTF(2, 3);
void wn_table_cell_str(wn_table *table, wn_str text, size_t width_max); /* cut with … */
void wn_table_print(wn_table *table, wn_buf *out);                      /* and clears it */

/* --model NAME … and --set [MODEL.]KEY=VALUE …: with a --model, these alone are fitted, and a
 * blend's members. */
WN_MUST_USE wn_status wn_cli_choose_models(wn_train_options *train, const wn_text_list *models,
                                           const wn_text_list *set, wn_error *err);
/* --format of plain files: adjacency, sequence, pairs, ratings; NULL: none of these. */
typedef wn_status wn_cli_reader(const char *path, wn_dataset_builder *builder, wn_error *err);
wn_cli_reader *wn_cli_format(const char *name);
WN_MUST_USE wn_status wn_cli_check_ids(const wn_dataset_builder *builder, const char *file,
                                       wn_error *err);

/* --map FIELD=COLUMN … of tables. */
WN_MUST_USE wn_status wn_cli_read_map(const wn_text_list *texts, wn_column_map *map, size_t max,
                                      wn_error *err);

/* Notes a finished run in the data directory (docs/runs.md): `begin` when the process starts, then
 * the command's result as JSON. Without a data directory nothing is noted; what cannot be written
 * is told as a warning. */
typedef struct wn_cli_run {
  const char *data, *config; /* as given; NULL: not given */
  const wn_buf *result;
  bool passed;        /* false: a refusal, a failed check */
  const wn_buf *page; /* its report, kept beside the note; NULL: none */
} wn_cli_run;
void wn_cli_record_begin(int argc, char **argv);
void wn_cli_record(const char *kind, const wn_cli_run *run);

/* What `winnow evaluate` prints. */
struct wn_evaluation;
typedef struct wn_evaluation_format {
  const char *metrics; /* NAME@K,…: these alone as JSON; "all" or NULL: as below */
  bool json;
  bool slices; /* a table of them */
} wn_evaluation_format;
void wn_cli_print_evaluation(const struct wn_evaluation *evaluation,
                             const wn_evaluation_format *how, wn_buf *out);

const char *wn_human_bytes(double bytes, char *buf, size_t size);
/* The gate's word on a snapshot; "" when it said nothing. (cmd_snapshots.c) */
void wn_cli_verdict(const char *dir, uint64_t number, char *out, size_t size);
const char *wn_human_age(int64_t ms, char *buf, size_t size); /* "3 min", "2 days" */

int wn_cmd_import(int argc, char **argv);
int wn_cmd_train(int argc, char **argv);
int wn_cmd_evaluate(int argc, char **argv);
int wn_cmd_dataset(int argc, char **argv);
int wn_cmd_tune(int argc, char **argv);
int wn_cmd_batch(int argc, char **argv);
int wn_cmd_recommend(int argc, char **argv);
int wn_cmd_similar(int argc, char **argv);
int wn_cmd_serve(int argc, char **argv);
int wn_cmd_status(int argc, char **argv);
int wn_cmd_top(int argc, char **argv);
int wn_cmd_snapshots(int argc, char **argv);
int wn_cmd_keys(int argc, char **argv);
int wn_cmd_check_config(int argc, char **argv);
int wn_cmd_experiments(int argc, char **argv);
int wn_cmd_simulate(int argc, char **argv);
int wn_cmd_lab(int argc, char **argv);
int wn_cmd_ope(int argc, char **argv);
int wn_cmd_replay(int argc, char **argv);
int wn_cmd_runs(int argc, char **argv);
int wn_cmd_check(int argc, char **argv);
int wn_cmd_index(int argc, char **argv);

#endif
