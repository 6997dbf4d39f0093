/* Tables of logged decisions and of policies. A first pass over the header finds the columns, then
 * each row is checked before it is believed: an estimate from a wrong propensity looks as good as
 * any other. Costs: one pass, 64 bytes a row. */
#include "data/logged.h"

#include "base/map64.h"
#include "data/csv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBABILITY_SLACK 1e-3

typedef enum field {
  F_ITEM,
  F_POSITION,
  F_REWARD,
  F_PROPENSITY,
  F_TARGET,
  F_SLATE,
  F_Q,
  F_VALUE,
  F_PROBABILITY,
  FIELDS
} field;
/* Columns taken for a field without a map, in order of preference. */
static const struct {
  const char *name, *columns;
} fields[FIELDS] = {
    {"item", "item item_id action"},
    {"position", "position slot rank"},
    {"reward", "reward click clicked"},
    {"propensity", "propensity propensity_score pscore action_prob p_log"},
    {"target", "target target_propensity p_eval pi_e"},
    {"slate", "slate slate_id decision round_id"},
    {"q", "q q_hat"},
    {"value", "value"},
    {"probability", "probability p"},
};

typedef struct table {
  wn_reader reader;
  wn_read_options options;
  wn_read_report report;
  wn_sink sink;
  wn_csv csv;
  const char *path;
  int of[FIELDS]; /* −1: no such column */
} table;

static int column_named(const table *t, wn_str name) {
  for (size_t c = 0; c < t->csv.cells_len; c++)
    if (wn_str_equal(wn_str_trim(t->csv.cells[c]), name)) return (int)c;
  return -1;
}

static int column_of(const table *t, const char *names) {
  for (const char *at = names; *at != '\0';) {
    size_t len = strcspn(at, " ");
    int column = column_named(t, (wn_str){at, len});
    if (column >= 0) return column;
    at += len + (at[len] == ' ');
  }
  return -1;
}

static wn_status map_columns(table *t, const wn_column_map *map, size_t len, wn_error *err) {
  for (size_t i = 0; i < len; i++) {
    int f = 0;
    while (f < FIELDS && !wn_str_is(map[i].field, fields[f].name)) f++;
    if (f == FIELDS)
      return wn_fail(err, WN_E_ARGUMENT, "map",
                     "there is no field `%.*s`; there are item, position, reward, propensity, "
                     "target, slate, q and value",
                     WN_STR_ARG(map[i].field));
    t->of[f] = column_named(t, map[i].column);
    if (t->of[f] < 0)
      return wn_fail(err, WN_E_ARGUMENT, "map", "%s has no column `%.*s`", t->path,
                     WN_STR_ARG(map[i].column));
  }
  return WN_OK;
}

/* Opens the file and reads its header. */
static wn_status table_open(table *t, const char *path, wn_error *err) {
  wn_status status;
  wn_str line;
  bool end;
  t->path = path;
  wn_read_options_defaults(&t->options);
  t->options.bad_lines_max = 1;
  wn_reader_init(&t->reader, &t->options, &t->sink, &t->report);
  WN_TRY(wn_reader_open(&t->reader, path, err));
  WN_TRY(wn_input_peek(t->reader.input, &line, err));
  bool tabs = line.ptr != NULL && memchr(line.ptr, '\t', line.len) != NULL;
  WN_TRY(wn_csv_init(&t->csv, &t->reader, tabs ? '\t' : ',', err));
  WN_TRY(wn_csv_next(&t->csv, &end, err));
  if (end) WN_TRY(wn_fail(err, WN_E_FORMAT, "", "%s is empty", path));
  for (int f = 0; f < FIELDS; f++) t->of[f] = column_of(t, fields[f].columns);
cleanup:
  return status;
}

static wn_status need_column(const table *t, field f, wn_error *err) {
  if (t->of[f] >= 0) return WN_OK;
  wn_fail(err, WN_E_FORMAT, fields[f].name, "no column for it (looked for: %s)%s",
          fields[f].columns, f == F_PROBABILITY ? "" : "; name it with --map FIELD=COLUMN");
  return err != NULL ? wn_error_at(err, t->path, 1, 0) : WN_E_FORMAT;
}

static wn_status bad(const table *t, field f, wn_error *err, const char *expected) {
  wn_str cell = t->csv.cells[t->of[f]];
  wn_fail(err, WN_E_FORMAT, fields[f].name, "must be %s, got `%.*s`", expected,
          cell.len < 40 ? (int)cell.len : 40, cell.len > 0 ? cell.ptr : "");
  return err != NULL ? wn_error_at(err, t->path, t->csv.line, 0) : WN_E_FORMAT;
}

/* NaN without the column. */
static wn_status number(const table *t, field f, double *out, wn_error *err) {
  *out = NAN;
  if (t->of[f] < 0) return WN_OK;
  if (wn_parse_double(wn_str_trim(t->csv.cells[t->of[f]]), out)) return WN_OK;
  return bad(t, f, err, "a number");
}

static wn_status position_of(const table *t, uint32_t *out, wn_error *err) {
  int64_t position = 1;
  if (t->of[F_POSITION] >= 0 &&
      (!wn_parse_int64(wn_str_trim(t->csv.cells[t->of[F_POSITION]]), &position) || position < 1 ||
       position > 100000))
    return bad(t, F_POSITION, err, "a place from 1 to 100000");
  *out = (uint32_t)position - 1;
  return WN_OK;
}

static wn_status next_row(table *t, bool *end, wn_error *err) {
  size_t header = 0;
  wn_status status = wn_csv_next(&t->csv, end, err);
  if (status != WN_OK || *end) return status;
  for (int f = 0; f < FIELDS; f++)
    if (t->of[f] >= (int)header) header = (size_t)t->of[f] + 1;
  if (t->csv.cells_len >= header) return WN_OK;
  wn_fail(err, WN_E_FORMAT, "", "has %zu cells, expected %zu at least", t->csv.cells_len, header);
  return err != NULL ? wn_error_at(err, t->path, t->csv.line, 0) : WN_E_FORMAT;
}

static wn_status table_close(table *t, wn_status status, wn_error *err) {
  wn_csv_clear(&t->csv);
  return wn_reader_finish(&t->reader, status, err);
}

/* --- decisions --- */

static wn_status read_row(const table *t, wn_logged *log, wn_dict *slates, wn_error *err) {
  wn_status status;
  wn_logged_row row = {.decision = (uint32_t)log->rows.len, .chosen = WN_NO_IX};
  bool added;
  if (log->rows.len >= WN_NO_IX) WN_TRY(wn_fail(err, WN_E_TOO_LARGE, "", "more than 2^32 rows"));
  wn_str item = wn_str_trim(t->csv.cells[t->of[F_ITEM]]);
  if (item.len == 0) WN_TRY(bad(t, F_ITEM, err, "an id"));
  if (wn_dict_add(log->items, item, &row.item, &added) != WN_OK) WN_TRY(wn_fail_memory(err));
  if (t->of[F_SLATE] >= 0 && wn_dict_add(slates, wn_str_trim(t->csv.cells[t->of[F_SLATE]]),
                                         &row.decision, &added) != WN_OK)
    WN_TRY(wn_fail_memory(err));
  WN_TRY(position_of(t, &row.position, err));
  WN_TRY(number(t, F_PROPENSITY, &row.p_log, err));
  if (!(row.p_log > 0 && row.p_log <= 1))
    WN_TRY(bad(t, F_PROPENSITY, err, "above 0 and at most 1: what was shown had a chance"));
  WN_TRY(number(t, F_REWARD, &row.reward, err));
  WN_TRY(number(t, F_TARGET, &row.p_eval, err));
  if (row.p_eval < 0 || row.p_eval > 1) WN_TRY(bad(t, F_TARGET, err, "from 0 to 1"));
  WN_TRY(number(t, F_Q, &row.q, err));
  WN_TRY(number(t, F_VALUE, &row.value, err));
  if (!wn_vec_push(&log->rows, row)) WN_TRY(wn_fail_memory(err));
cleanup:
  return status;
}

wn_status wn_logged_read(const char *path, const wn_column_map *map, size_t map_len, wn_logged *out,
                         wn_error *err) {
  table t = {0};
  wn_dict *slates = wn_dict_create();
  wn_status status;
  bool end = false;
  *out = (wn_logged){.items = wn_dict_create()};
  if (slates == NULL || out->items == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(table_open(&t, path, err));
  WN_TRY(map_columns(&t, map, map_len, err));
  WN_TRY(need_column(&t, F_ITEM, err));
  WN_TRY(need_column(&t, F_PROPENSITY, err));
  WN_TRY(need_column(&t, F_REWARD, err));
  for (;;) {
    WN_TRY(next_row(&t, &end, err));
    if (end) break;
    WN_TRY(read_row(&t, out, slates, err));
  }
  status = wn_logged_finish(out, err);
  if (status == WN_E_FORMAT && err != NULL) wn_error_at(err, path, 0, 0);
cleanup:
  if (slates != NULL) wn_dict_free(slates);
  status = table_close(&t, status, err);
  if (status != WN_OK) wn_logged_clear(out);
  return status;
}

static int by_place(const void *a, const void *b) {
  const wn_logged_row *x = a, *y = b;
  if (x->decision != y->decision) return x->decision < y->decision ? -1 : 1;
  return x->position < y->position ? -1 : x->position > y->position;
}

wn_status wn_logged_finish(wn_logged *log, wn_error *err) {
  wn_logged_row *rows = log->rows.data;
  uint32_t decision = 0;
  if (log->rows.len == 0) return wn_fail(err, WN_E_FORMAT, "", "the log holds no impression");
  qsort(rows, log->rows.len, sizeof *rows, by_place);
  log->decisions = log->positions = 0;
  for (size_t i = 0; i < log->rows.len; i++) {
    bool first = i == 0 || rows[i].decision != decision;
    if (!first && rows[i].position == rows[i - 1].position)
      return wn_fail(err, WN_E_FORMAT, "position",
                     "place %u of slate %u (counted from 1 in order of appearance) stands twice",
                     rows[i].position + 1, decision + 1);
    decision = rows[i].decision;
    log->decisions += first;
    rows[i].decision = log->decisions - 1;
    if (rows[i].position >= log->positions) log->positions = rows[i].position + 1;
  }
  return WN_OK;
}

void wn_logged_clear(wn_logged *log) {
  wn_vec_clear(&log->rows);
  if (log->items != NULL && !log->borrowed) wn_dict_free(log->items);
  *log = (wn_logged){0};
}

/* --- policies --- */

static wn_status check_sums(const wn_policy_table *policy, const char *path, wn_error *err) {
  wn_map64 sums;
  wn_status status = WN_OK;
  size_t i = 0;
  uint64_t position, bits;
  wn_map64_init(&sums);
  for (size_t e = 0; e < policy->entries.len; e++) {
    uint64_t *at = wn_map64_at(&sums, policy->entries.data[e].position);
    double sum;
    if (at == NULL) WN_TRY(wn_fail_memory(err));
    memcpy(&sum, at, sizeof sum);
    sum += policy->entries.data[e].p;
    memcpy(at, &sum, sizeof sum);
  }
  while (wn_map64_next(&sums, &i, &position, &bits)) {
    double sum;
    memcpy(&sum, &bits, sizeof sum);
    if (fabs(sum - 1) <= PROBABILITY_SLACK) continue;
    char where[40] = "";
    if (policy->by_position)
      snprintf(where, sizeof where, " at position %u", (unsigned)position + 1);
    WN_TRY(wn_fail(err, WN_E_FORMAT, "probability",
                   "%s: the probabilities%s add up to %.4g, not to 1", path, where, sum));
  }
cleanup:
  wn_map64_clear(&sums);
  return status;
}

static wn_status read_entry(const table *t, const wn_dict *items, wn_policy_table *out,
                            wn_error *err) {
  wn_policy_entry entry = {.position = WN_NO_IX};
  wn_status status;
  wn_str item = wn_str_trim(t->csv.cells[t->of[F_ITEM]]);
  entry.item = item.len > 0 ? wn_dict_find(items, item) : WN_NO_IX;
  if (out->by_position) WN_TRY(position_of(t, &entry.position, err));
  WN_TRY(number(t, F_PROBABILITY, &entry.p, err));
  if (!(entry.p >= 0 && entry.p <= 1)) WN_TRY(bad(t, F_PROBABILITY, err, "from 0 to 1"));
  if (!wn_vec_push(&out->entries, entry)) WN_TRY(wn_fail_memory(err));
cleanup:
  return status;
}

wn_status wn_policy_read(const char *path, const wn_dict *items, wn_policy_table *out,
                         wn_error *err) {
  table t = {0};
  wn_status status;
  bool end = false;
  *out = (wn_policy_table){0};
  WN_TRY(table_open(&t, path, err));
  WN_TRY(need_column(&t, F_ITEM, err));
  WN_TRY(need_column(&t, F_PROBABILITY, err));
  out->by_position = t.of[F_POSITION] >= 0;
  for (;;) {
    WN_TRY(next_row(&t, &end, err));
    if (end) break;
    WN_TRY(read_entry(&t, items, out, err));
  }
  if (out->entries.len == 0) WN_TRY(wn_fail(err, WN_E_FORMAT, "", "%s names no item", path));
  WN_TRY(check_sums(out, path, err));
cleanup:
  status = table_close(&t, status, err);
  if (status != WN_OK) wn_policy_clear(out);
  return status;
}

void wn_policy_clear(wn_policy_table *policy) {
  wn_vec_clear(&policy->entries);
}
