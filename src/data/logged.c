/* Tables of logged decisions and of policies. A first pass over the header finds the columns, then
 * each row is checked before it is believed: an estimate from a wrong propensity looks as good as
 * any other. Costs: one pass, 64 bytes a row. */
#include "data/logged.h"

#include "base/map64.h"
#include "data/tabular.h"

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
static const wn_tabular_field fields[FIELDS] = {
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

static wn_status position_of(const wn_tabular *t, uint32_t *out, wn_error *err) {
  int64_t position = 1;
  if (t->of[F_POSITION] >= 0 && (!wn_parse_int64(wn_tabular_cell(t, F_POSITION), &position) ||
                                 position < 1 || position > 100000))
    return wn_tabular_bad(t, F_POSITION, err, "a place from 1 to 100000");
  *out = (uint32_t)position - 1;
  return WN_OK;
}

/* --- decisions --- */

static wn_status read_row(const wn_tabular *t, wn_logged *log, wn_dict *slates, wn_error *err) {
  wn_status status;
  wn_logged_row row = {.decision = (uint32_t)log->rows.len, .chosen = WN_NO_IX};
  bool added;
  if (log->rows.len >= WN_NO_IX) WN_TRY(wn_fail(err, WN_E_TOO_LARGE, "", "more than 2^32 rows"));
  wn_str item = wn_tabular_cell(t, F_ITEM);
  if (item.len == 0) WN_TRY(wn_tabular_bad(t, F_ITEM, err, "an id"));
  if (wn_dict_add(log->items, item, &row.item, &added) != WN_OK) WN_TRY(wn_fail_memory(err));
  if (t->of[F_SLATE] >= 0 &&
      wn_dict_add(slates, wn_tabular_cell(t, F_SLATE), &row.decision, &added) != WN_OK)
    WN_TRY(wn_fail_memory(err));
  WN_TRY(position_of(t, &row.position, err));
  WN_TRY(wn_tabular_number(t, F_PROPENSITY, &row.p_log, err));
  if (!(row.p_log > 0 && row.p_log <= 1))
    WN_TRY(
        wn_tabular_bad(t, F_PROPENSITY, err, "above 0 and at most 1: what was shown had a chance"));
  WN_TRY(wn_tabular_number(t, F_REWARD, &row.reward, err));
  WN_TRY(wn_tabular_number(t, F_TARGET, &row.p_eval, err));
  if (row.p_eval < 0 || row.p_eval > 1) WN_TRY(wn_tabular_bad(t, F_TARGET, err, "from 0 to 1"));
  WN_TRY(wn_tabular_number(t, F_Q, &row.q, err));
  WN_TRY(wn_tabular_number(t, F_VALUE, &row.value, err));
  if (!wn_vec_push(&log->rows, row)) WN_TRY(wn_fail_memory(err));
cleanup:
  return status;
}

wn_status wn_logged_read(const char *path, const wn_column_map *map, size_t map_len, wn_logged *out,
                         wn_error *err) {
  wn_tabular t = {0};
  wn_dict *slates = wn_dict_create();
  wn_status status;
  bool end = false;
  *out = (wn_logged){.items = wn_dict_create()};
  if (slates == NULL || out->items == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_tabular_open(&t, path, fields, FIELDS, err));
  WN_TRY(wn_tabular_map(&t, map, map_len, err));
  WN_TRY(wn_tabular_need(&t, F_ITEM, err));
  WN_TRY(wn_tabular_need(&t, F_PROPENSITY, err));
  WN_TRY(wn_tabular_need(&t, F_REWARD, err));
  for (;;) {
    WN_TRY(wn_tabular_next(&t, &end, err));
    if (end) break;
    WN_TRY(read_row(&t, out, slates, err));
  }
  status = wn_logged_finish(out, err);
  if (status == WN_E_FORMAT && err != NULL) wn_error_at(err, path, 0, 0);
cleanup:
  if (slates != NULL) wn_dict_free(slates);
  status = wn_tabular_close(&t, status, err);
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

static wn_status read_entry(const wn_tabular *t, const wn_dict *items, wn_policy_table *out,
                            wn_error *err) {
  wn_policy_entry entry = {.position = WN_NO_IX};
  wn_status status;
  wn_str item = wn_tabular_cell(t, F_ITEM);
  entry.item = item.len > 0 ? wn_dict_find(items, item) : WN_NO_IX;
  if (out->by_position) WN_TRY(position_of(t, &entry.position, err));
  WN_TRY(wn_tabular_number(t, F_PROBABILITY, &entry.p, err));
  if (!(entry.p >= 0 && entry.p <= 1)) WN_TRY(wn_tabular_bad(t, F_PROBABILITY, err, "from 0 to 1"));
  if (!wn_vec_push(&out->entries, entry)) WN_TRY(wn_fail_memory(err));
cleanup:
  return status;
}

wn_status wn_policy_read(const char *path, const wn_dict *items, wn_policy_table *out,
                         wn_error *err) {
  wn_tabular t = {0};
  wn_status status;
  bool end = false;
  *out = (wn_policy_table){0};
  WN_TRY(wn_tabular_open(&t, path, fields, FIELDS, err));
  WN_TRY(wn_tabular_need(&t, F_ITEM, err));
  WN_TRY(wn_tabular_need(&t, F_PROBABILITY, err));
  out->by_position = t.of[F_POSITION] >= 0;
  for (;;) {
    WN_TRY(wn_tabular_next(&t, &end, err));
    if (end) break;
    WN_TRY(read_entry(&t, items, out, err));
  }
  if (out->entries.len == 0) WN_TRY(wn_fail(err, WN_E_FORMAT, "", "%s names no item", path));
  WN_TRY(check_sums(out, path, err));
cleanup:
  status = wn_tabular_close(&t, status, err);
  if (status != WN_OK) wn_policy_clear(out);
  return status;
}

void wn_policy_clear(wn_policy_table *policy) {
  wn_vec_clear(&policy->entries);
}
