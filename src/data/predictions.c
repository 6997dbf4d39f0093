/* Tables of predictions (predictions.h). Costs: one pass, 16 bytes a row and 4 a slice. */
#include "data/predictions.h"

#include "data/tabular.h"

#include <math.h>

typedef enum field { F_PROBABILITY, F_SCORE, F_LABEL, F_USER, FIELDS } field;
static const wn_tabular_field fields[FIELDS] = {
    {"probability", "probability p prob predicted_probability y_prob"},
    {"score", "score prediction pred y_score"},
    {"label", "label y y_true target click clicked reward"},
    {"user", "user user_id uid"},
};

/* Either column will do; a probability says more. */
static wn_status choose_score(const wn_tabular *t, wn_predictions *out, int *score, wn_error *err) {
  out->probabilities = t->of[F_PROBABILITY] >= 0;
  *score = out->probabilities ? F_PROBABILITY : F_SCORE;
  if (t->of[*score] >= 0) return WN_OK;
  wn_fail(err, WN_E_FORMAT, "probability",
          "no column for it, nor for `score` (looked for: %s; %s); name it with --map FIELD=COLUMN",
          fields[F_PROBABILITY].columns, fields[F_SCORE].columns);
  return err != NULL ? wn_error_at(err, t->path, 1, 0) : WN_E_FORMAT;
}

static wn_status choose_slices(const wn_tabular *t, const wn_predictions_how *how, int *columns,
                               wn_predictions *out, wn_error *err) {
  if (how->slices_len > WN_PREDICTION_SLICES_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "slice", "at most %d", WN_PREDICTION_SLICES_MAX);
  for (size_t i = 0; i < how->slices_len; i++) {
    columns[i] = wn_tabular_column(t, wn_str_of(how->slices[i]));
    if (columns[i] < 0)
      return wn_fail(err, WN_E_ARGUMENT, "slice", "%s has no column `%s`", t->path, how->slices[i]);
    out->slices[i] = (wn_prediction_slice){.name = how->slices[i], .values = wn_dict_create()};
    out->slices_len = i + 1;
    if (out->slices[i].values == NULL) return wn_fail_memory(err);
  }
  return WN_OK;
}

static wn_status read_row(const wn_tabular *t, int score, wn_predictions *out, wn_error *err) {
  wn_status status;
  wn_prediction row = {0};
  double label;
  bool added;
  if (out->rows.len >= UINT32_MAX) WN_TRY(wn_fail(err, WN_E_TOO_LARGE, "", "more than 2^32 rows"));
  WN_TRY(wn_tabular_number(t, score, &row.score, err));
  if (out->probabilities && !(row.score >= 0 && row.score <= 1))
    WN_TRY(wn_tabular_bad(t, score, err, "from 0 to 1: it claims to be a probability"));
  WN_TRY(wn_tabular_number(t, F_LABEL, &label, err));
  if (label != 0 && label != 1) WN_TRY(wn_tabular_bad(t, F_LABEL, err, "0 or 1"));
  row.label = label == 1;
  if (out->users != NULL) {
    wn_str user = wn_tabular_cell(t, F_USER);
    if (user.len == 0) WN_TRY(wn_tabular_bad(t, F_USER, err, "an id"));
    if (wn_dict_add(out->users, user, &row.user, &added) != WN_OK) WN_TRY(wn_fail_memory(err));
  }
  if (!wn_vec_push(&out->rows, row)) WN_TRY(wn_fail_memory(err));
cleanup:
  return status;
}

static wn_status read_slices(const wn_tabular *t, const int *columns, wn_predictions *out,
                             wn_error *err) {
  for (size_t i = 0; i < out->slices_len; i++) {
    wn_prediction_slice *slice = &out->slices[i];
    wn_str cell = wn_str_trim(t->csv.cells[columns[i]]);
    uint32_t value;
    bool added;
    if (wn_dict_add(slice->values, cell.len > 0 ? cell : WN_STR("(none)"), &value, &added) !=
            WN_OK ||
        !wn_vec_push(&slice->rows, value))
      return wn_fail_memory(err);
  }
  return WN_OK;
}

wn_status wn_predictions_read(const char *path, const wn_predictions_how *how, wn_predictions *out,
                              wn_error *err) {
  wn_tabular t = {0};
  int score, columns[WN_PREDICTION_SLICES_MAX];
  wn_status status;
  bool end = false;
  *out = (wn_predictions){0};
  WN_TRY(wn_tabular_open(&t, path, fields, FIELDS, err));
  WN_TRY(wn_tabular_map(&t, how->map, how->map_len, err));
  WN_TRY(choose_score(&t, out, &score, err));
  WN_TRY(wn_tabular_need(&t, F_LABEL, err));
  WN_TRY(choose_slices(&t, how, columns, out, err));
  for (size_t i = 0; i < out->slices_len; i++)
    if ((size_t)columns[i] >= t.cells_min) t.cells_min = (size_t)columns[i] + 1;
  if (t.of[F_USER] >= 0 && (out->users = wn_dict_create()) == NULL) WN_TRY(wn_fail_memory(err));
  for (;;) {
    WN_TRY(wn_tabular_next(&t, &end, err));
    if (end) break;
    WN_TRY(read_row(&t, score, out, err));
    WN_TRY(read_slices(&t, columns, out, err));
  }
  if (out->rows.len == 0) WN_TRY(wn_fail(err, WN_E_FORMAT, "", "%s holds no prediction", path));
cleanup:
  status = wn_tabular_close(&t, status, err);
  if (status != WN_OK) wn_predictions_clear(out);
  return status;
}

void wn_predictions_clear(wn_predictions *predictions) {
  wn_vec_clear(&predictions->rows);
  if (predictions->users != NULL) wn_dict_free(predictions->users);
  for (size_t i = 0; i < predictions->slices_len; i++) {
    wn_vec_clear(&predictions->slices[i].rows);
    if (predictions->slices[i].values != NULL) wn_dict_free(predictions->slices[i].values);
  }
  *predictions = (wn_predictions){0};
}
