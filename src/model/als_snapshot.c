/* The ALS model's part of a snapshot: sections "als/…", each checked against the others. */
#include "model/als.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* What training found. What events and puts changed comes from the log and the store again. */
wn_status wn_als_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const wn_als *als = (const wn_als *)model;
  const wn_als_head *h = &als->head;
  uint64_t d = h->d;
  const struct {
    const char *name;
    const void *data;
    uint64_t bytes;
  } section[] = {
      {"als/head", h, sizeof *h},
      {"als/eigen", als->eigen, d * sizeof *als->eigen},
      {"als/item_of", als->item_of, h->rows * sizeof *als->item_of},
      {"als/row_of", als->row_of, h->items * sizeof *als->row_of},
      {"als/item", als->item, h->rows * d * sizeof *als->item},
      {"als/item_scale", als->item_scale, h->rows * sizeof *als->item_scale},
      {"als/item_events", als->item_events, h->rows * sizeof *als->item_events},
      {"als/user", als->user, h->users * d * sizeof *als->user},
      {"als/user_scale", als->user_scale, h->users * sizeof *als->user_scale},
      {"als/user_eigen", als->user_eigen, d * sizeof *als->user_eigen},
      {"als/user_basis", als->user_basis, d * d * sizeof *als->user_basis},
      {"als/attr_row_of", als->attr_row_of, h->attr_terms * sizeof *als->attr_row_of},
      {"als/attr", als->attr, h->attr_rows * d * sizeof *als->attr},
      {"als/user_term", als->user_term, h->user_terms * sizeof *als->user_term}, /* if any */
      {"als/user_attr", als->user_attr, h->user_terms * d * sizeof *als->user_attr},
  };
  size_t sections = sizeof section / sizeof *section - (h->user_terms > 0 ? 0 : 2);
  for (size_t i = 0; i < sections; i++) {
    wn_status status =
        wn_snapshot_write(writer, section[i].name, section[i].data, section[i].bytes, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static bool in_range(double x, double low, double high) {
  return x >= low && x <= high;
}

static wn_status check_head(const wn_als_head *h, wn_error *err) {
  if (h->version != 2) {
    return wn_fail(err, WN_E_CORRUPT, "als/head", "version %u, expected 2: train again",
                   h->version);
  }
  if (h->d < 1 || h->d > WN_ALS_FACTORS_MAX || h->active > h->rows || h->rows > h->items ||
      h->attr_rows > h->attr_terms || h->users_active > h->users || h->history_max < 1) {
    return wn_fail(err, WN_E_CORRUPT, "als/head", "sizes are out of range");
  }
  if (!in_range(h->alpha0, 0, 100) || !in_range(h->lambda, 1e-8, 1e6) || !in_range(h->nu, 0, 2) ||
      !in_range(h->power, 0, 1) || !in_range(h->negative, 0, 100) ||
      !in_range(h->cold_scale, 0, 1) || !(h->scale > 0) || !isfinite(h->scale)) {
    return wn_fail(err, WN_E_CORRUPT, "als/head", "parameters are out of range");
  }
  return WN_OK;
}

/* item_of and row_of are each other's inverse. */
static wn_status check_maps(const wn_als *als, wn_error *err) {
  uint32_t known = 0;
  for (uint32_t i = 0; i < als->head.items; i++) {
    if (als->row_of[i] == WN_NO_IX) continue;
    if (als->row_of[i] >= als->head.rows || als->item_of[als->row_of[i]] != i) {
      return wn_fail(err, WN_E_CORRUPT, "als/row_of", "does not match als/item_of");
    }
    known++;
  }
  if (known != als->head.rows) {
    return wn_fail(err, WN_E_CORRUPT, "als/row_of", "does not match als/item_of");
  }
  return WN_OK;
}

static wn_status check_eigen(const char *name, const double *value, uint32_t d, wn_error *err) {
  for (uint32_t k = 0; k < d; k++)
    if (!in_range(value[k], 0, 1e300))
      return wn_fail(err, WN_E_CORRUPT, name, "must be finite and not negative");
  return WN_OK;
}

static wn_status check_attr(const wn_als *als, wn_error *err) {
  const wn_als_head *h = &als->head;
  for (uint32_t t = 0; t < h->attr_terms; t++)
    if (als->attr_row_of[t] != WN_NO_IX && als->attr_row_of[t] >= h->attr_rows)
      return wn_fail(err, WN_E_CORRUPT, "als/attr_row_of", "an index is not below %u",
                     h->attr_rows);
  return wn_check_finite("als/attr", als->attr, h->attr_rows * (uint64_t)h->d, err);
}

wn_status wn_als_validate(const wn_model *model, wn_error *err) {
  const wn_als *als = (const wn_als *)model;
  const wn_als_head *h = &als->head;
  uint64_t d = h->d;
  wn_status status;
  WN_TRY(check_head(h, err));
  WN_TRY(check_maps(als, err));
  WN_TRY(check_eigen("als/eigen", als->eigen, h->d, err));
  WN_TRY(check_eigen("als/user_eigen", als->user_eigen, h->d, err));
  WN_TRY(wn_check_finite("als/item", als->item, h->rows * d, err));
  WN_TRY(wn_check_finite("als/item_scale", als->item_scale, h->rows, err));
  WN_TRY(wn_check_finite("als/user", als->user, h->users * d, err));
  WN_TRY(wn_check_finite("als/user_scale", als->user_scale, h->users, err));
  WN_TRY(wn_check_finite("als/user_basis", als->user_basis, d * d, err));
  WN_TRY(check_attr(als, err));
  WN_TRY(wn_als_users_validate(als, err));
cleanup:
  return status;
}

static wn_status map_doubles(const wn_snapshot *snapshot, const char *name, uint32_t d,
                             const double **out, wn_error *err) {
  const void *data = NULL;
  wn_status status = wn_section_array(snapshot, name, sizeof(double), d, &data, err);
  *out = data;
  return status;
}

static wn_status map_attr(wn_als *als, const wn_snapshot *snapshot, wn_error *err) {
  const wn_als_head *h = &als->head;
  const void *row_of = NULL;
  wn_status status;
  WN_TRY(
      wn_section_array(snapshot, "als/attr_row_of", sizeof(uint32_t), h->attr_terms, &row_of, err));
  als->attr_row_of = row_of;
  WN_TRY(wn_section_numbers(snapshot, "als/attr", h->attr_rows * (uint64_t)h->d, &als->attr, err));
cleanup:
  return status;
}

static wn_status map_items(wn_als *als, const wn_snapshot *snapshot, wn_error *err) {
  const wn_als_head *h = &als->head;
  const void *row_of = NULL, *events = NULL;
  wn_status status;
  WN_TRY(map_doubles(snapshot, "als/eigen", h->d, &als->eigen, err));
  WN_TRY(wn_section_indexes(snapshot, "als/item_of", h->rows, h->items, &als->item_of, err));
  WN_TRY(wn_section_array(snapshot, "als/row_of", sizeof(uint32_t), h->items, &row_of, err));
  als->row_of = row_of;
  WN_TRY(wn_section_numbers(snapshot, "als/item", (uint64_t)h->rows * h->d, &als->item, err));
  WN_TRY(wn_section_numbers(snapshot, "als/item_scale", h->rows, &als->item_scale, err));
  WN_TRY(wn_section_array(snapshot, "als/item_events", sizeof(uint32_t), h->rows, &events, err));
  als->item_events = events;
cleanup:
  return status;
}

static wn_status map_users(wn_als *als, const wn_snapshot *snapshot, wn_error *err) {
  const wn_als_head *h = &als->head;
  uint64_t d = h->d;
  const void *term = NULL;
  wn_status status;
  WN_TRY(wn_section_numbers(snapshot, "als/user", h->users * d, &als->user, err));
  WN_TRY(wn_section_numbers(snapshot, "als/user_scale", h->users, &als->user_scale, err));
  WN_TRY(map_doubles(snapshot, "als/user_eigen", h->d, &als->user_eigen, err));
  WN_TRY(wn_section_numbers(snapshot, "als/user_basis", d * d, &als->user_basis, err));
  if (h->user_terms == 0) return WN_OK;
  WN_TRY(wn_section_array(snapshot, "als/user_term", sizeof *als->user_term, h->user_terms, &term,
                          err));
  als->user_term = term;
  WN_TRY(wn_section_numbers(snapshot, "als/user_attr", h->user_terms * d, &als->user_attr, err));
cleanup:
  return status;
}

wn_status wn_als_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  wn_als *als = wn_calloc(1, sizeof *als);
  if (als == NULL) return wn_fail_memory(err);
  als->base.cls = &wn_model_als;
  als->coded = wn_als_coded_new();
  const void *head = NULL;
  wn_status status = WN_OK;
  if (als->coded == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_section_array(snapshot, "als/head", sizeof als->head, 1, &head, err));
  memcpy(&als->head, head, sizeof als->head);
  WN_TRY(check_head(&als->head, err));
  WN_TRY(map_items(als, snapshot, err));
  WN_TRY(map_users(als, snapshot, err));
  WN_TRY(map_attr(als, snapshot, err));
  WN_TRY(wn_als_validate(&als->base, err));
  WN_TRY(wn_history_map(snapshot, &als->live.history, err));
  wn_als_live_init(als);
  *out = &als->base;
  als = NULL;
cleanup:
  if (als != NULL) wn_als_free(&als->base);
  return status;
}
