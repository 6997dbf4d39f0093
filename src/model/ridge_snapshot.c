/* Local ridge in a snapshot: the weights, and what learning from events goes on from: users' rows,
 * items' lists, and how much of each item had been counted. Sections of "<class>/": 8 bytes a
 * weight, 16 an entry (24 when ordered), 12 a user, 24 an item. */
#include "model/ridge_live.h"

#include "base/mem.h"
#include "model/section.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *section(const wn_model_class *cls, const char *part, char *buf, size_t size) {
  snprintf(buf, size, "%s/%s", cls->name, part);
  return buf;
}

wn_status wn_ridge_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const wn_ridge *m = (const wn_ridge *)model;
  const wn_ridge_rows *r = &m->rows;
  uint64_t items = m->head.items, users = m->head.users;
  uint64_t weights = m->row_ptr[items], entries = r->user_ptr[users];
  const struct {
    const char *name;
    const void *data;
    uint64_t bytes;
  } part[] = {
      {"head", &m->head, sizeof m->head},
      {"row_ptr", m->row_ptr, (items + 1) * sizeof *m->row_ptr},
      {"col", m->col, weights * sizeof *m->col},
      {"weight", m->weight, weights * sizeof *m->weight},
      {"diagonal", m->diagonal, items * sizeof *m->diagonal},
      {"mass", m->mass, items * sizeof *m->mass},
      {"user_ptr", r->user_ptr, (users + 1) * sizeof *r->user_ptr},
      {"share", r->share, users * sizeof *r->share},
      {"entry", r->cell, entries * sizeof *r->cell},
      {"item_ptr", r->item_ptr, (items + 1) * sizeof *r->item_ptr},
      {"owner", r->owner, entries * sizeof *r->owner},
      {"time_ms", r->time_ms, entries * sizeof *r->time_ms}, /* the last: of ordered ones only */
  };
  size_t parts = sizeof part / sizeof *part - (m->head.rule.ordered ? 0 : 1);
  for (size_t i = 0; i < parts; i++) {
    char name[WN_SECTION_NAME_MAX + 1];
    wn_status status =
        wn_snapshot_write(writer, section(model->cls, part[i].name, name, sizeof name),
                          part[i].data, part[i].bytes, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static bool in_range(const wn_model_class *cls, const char *name, double value) {
  for (size_t i = 0; i < cls->params_len; i++) {
    const wn_param_spec *spec = &cls->params[i];
    if (strcmp(spec->name, name) == 0) return value >= spec->min && value <= spec->max;
  }
  return value == 0; /* the other class's */
}

static wn_status check_head(const wn_ridge *m, wn_error *err) {
  const wn_ridge_head_section *h = &m->head;
  const wn_model_class *cls = m->base.cls;
  const struct {
    const char *name;
    double value;
  } part[] = {{"history_max", h->history_max},
              {"k", h->k},
              {"row_max", h->rule.row_max},
              {"power", h->rule.power},
              {"user_exponent", h->rule.user_exponent},
              {"tau", h->rule.tau},
              {"hours", h->rule.hours},
              {"lambda", h->penalty.lambda},
              {"dropout", h->penalty.dropout},
              {"tau_query", h->tau_query},
              {"refresh", h->refresh},
              {"effort", h->effort}};
  char name[WN_SECTION_NAME_MAX + 1];
  section(cls, "head", name, sizeof name);
  if (h->version != 2)
    return wn_fail(err, WN_E_CORRUPT, name, "version %u, expected 2: train again", h->version);
  bool good = h->rule.ordered == (cls == &wn_model_ridge_seq) && h->scale > 0 && isfinite(h->scale);
  for (size_t i = 0; i < sizeof part / sizeof *part; i++)
    good = good && in_range(cls, part[i].name, part[i].value);
  return good ? WN_OK : wn_fail(err, WN_E_CORRUPT, name, "parameters are out of range");
}

static wn_status check_cells(const wn_ridge_cell *cell, uint64_t count, uint32_t limit,
                             const char *name, wn_error *err) {
  for (uint64_t i = 0; i < count; i++)
    if (cell[i].ix >= limit || !(cell[i].value > 0) || !isfinite(cell[i].value))
      return wn_fail(err, WN_E_CORRUPT, name, "entry %" PRIu64 " is none", i);
  return WN_OK;
}

static wn_status check_lists(const wn_ridge_rows *r, const char *name, wn_error *err) {
  for (uint32_t item = 0; item < r->fit_items; item++)
    for (uint64_t i = r->item_ptr[item] + 1; i < r->item_ptr[item + 1]; i++)
      if (r->owner[i].ix <= r->owner[i - 1].ix)
        return wn_fail(err, WN_E_CORRUPT, name, "the users of item %u must ascend", item);
  return WN_OK;
}

static wn_status check_times(const wn_ridge_rows *r, const char *name, wn_error *err) {
  for (uint32_t u = 0; u < r->fit_users; u++)
    for (uint64_t i = r->user_ptr[u] + 1; i < r->user_ptr[u + 1]; i++)
      if (r->time_ms[i] < r->time_ms[i - 1])
        return wn_fail(err, WN_E_CORRUPT, name, "row %u must be in time order", u);
  return WN_OK;
}

static wn_status check_entries(const wn_ridge *m, wn_error *err) {
  const wn_model_class *cls = m->base.cls;
  const wn_ridge_rows *r = &m->rows;
  uint64_t entries = r->user_ptr[r->fit_users];
  char name[WN_SECTION_NAME_MAX + 1];
  wn_status status = WN_OK;
  section(cls, "user_ptr", name, sizeof name);
  for (uint32_t u = 0; u < r->fit_users; u++)
    if (r->user_ptr[u + 1] - r->user_ptr[u] > r->rule.row_max)
      WN_TRY(wn_fail(err, WN_E_CORRUPT, name, "row %u is longer than row_max", u));
  WN_TRY(wn_check_finite(section(cls, "share", name, sizeof name), r->share, r->fit_users, err));
  WN_TRY(
      check_cells(r->cell, entries, r->fit_items, section(cls, "entry", name, sizeof name), err));
  WN_TRY(
      check_cells(r->owner, entries, r->fit_users, section(cls, "owner", name, sizeof name), err));
  WN_TRY(check_lists(r, name, err));
  if (r->time_ms != NULL) WN_TRY(check_times(r, section(cls, "time_ms", name, sizeof name), err));
cleanup:
  return status;
}

wn_status wn_ridge_validate(const wn_model *model, wn_error *err) {
  const wn_ridge *m = (const wn_ridge *)model;
  const wn_model_class *cls = m->base.cls;
  const uint32_t items = m->head.items;
  char name[WN_SECTION_NAME_MAX + 1];
  wn_status status;
  WN_TRY(check_head(m, err));
  WN_TRY(wn_check_finite(section(cls, "weight", name, sizeof name), m->weight, m->row_ptr[items],
                         err));
  WN_TRY(wn_check_finite(section(cls, "diagonal", name, sizeof name), m->diagonal, items, err));
  WN_TRY(wn_check_finite(section(cls, "mass", name, sizeof name), m->mass, items, err));
  WN_TRY(check_entries(m, err));
cleanup:
  return status;
}

static wn_status map_rows(wn_ridge *m, const wn_snapshot *snapshot, wn_error *err) {
  const wn_model_class *cls = m->base.cls;
  wn_ridge_rows *r = &m->rows;
  char name[WN_SECTION_NAME_MAX + 1];
  const void *data = NULL;
  uint64_t entries = 0, owners = 0;
  wn_status status;
  *r = (wn_ridge_rows){.rule = m->head.rule,
                       .scale = m->head.scale,
                       .users = m->head.users,
                       .items = m->head.items,
                       .fit_users = m->head.users,
                       .fit_items = m->head.items};
  WN_TRY(wn_section_offsets(snapshot, section(cls, "user_ptr", name, sizeof name), r->users,
                            &r->user_ptr, &entries, err));
  WN_TRY(wn_section_numbers(snapshot, section(cls, "share", name, sizeof name), r->users, &r->share,
                            err));
  WN_TRY(wn_section_offsets(snapshot, section(cls, "item_ptr", name, sizeof name), r->items,
                            &r->item_ptr, &owners, err));
  WN_TRY(wn_section_array(snapshot, section(cls, "entry", name, sizeof name), sizeof *r->cell,
                          entries, &data, err));
  r->cell = data;
  WN_TRY(wn_section_array(snapshot, section(cls, "owner", name, sizeof name), sizeof *r->owner,
                          entries, &data, err));
  if (owners != entries) WN_TRY(wn_fail(err, WN_E_CORRUPT, name, "is not as long as the rows"));
  r->owner = data;
  if (!r->rule.ordered) return WN_OK;
  WN_TRY(wn_section_array(snapshot, section(cls, "time_ms", name, sizeof name), sizeof *r->time_ms,
                          entries, &data, err));
  r->time_ms = data;
cleanup:
  return status;
}

static wn_status map_weights(wn_ridge *m, const wn_snapshot *snapshot, wn_error *err) {
  const wn_model_class *cls = m->base.cls;
  uint32_t items = m->head.items;
  char name[WN_SECTION_NAME_MAX + 1];
  uint64_t nnz = 0;
  wn_status status;
  WN_TRY(wn_section_offsets(snapshot, section(cls, "row_ptr", name, sizeof name), items,
                            &m->row_ptr, &nnz, err));
  WN_TRY(wn_section_indexes(snapshot, section(cls, "col", name, sizeof name), nnz, items, &m->col,
                            err));
  WN_TRY(wn_section_numbers(snapshot, section(cls, "weight", name, sizeof name), nnz, &m->weight,
                            err));
  WN_TRY(wn_section_numbers(snapshot, section(cls, "diagonal", name, sizeof name), items,
                            &m->diagonal, err));
  WN_TRY(
      wn_section_numbers(snapshot, section(cls, "mass", name, sizeof name), items, &m->mass, err));
cleanup:
  return status;
}

wn_status wn_ridge_map(const wn_model_class *cls, const wn_snapshot *snapshot, wn_model **out,
                       wn_error *err) {
  char name[WN_SECTION_NAME_MAX + 1];
  const void *head = NULL;
  wn_status status;
  wn_ridge *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  WN_TRY(wn_section_array(snapshot, section(cls, "head", name, sizeof name), sizeof m->head, 1,
                          &head, err));
  memcpy(&m->head, head, sizeof m->head);
  WN_TRY(check_head(m, err));
  WN_TRY(map_weights(m, snapshot, err));
  WN_TRY(map_rows(m, snapshot, err));
  WN_TRY(wn_ridge_validate(&m->base, err));
  *out = &m->base;
  m = NULL;
cleanup:
  if (m != NULL) wn_ridge_free(&m->base);
  return status;
}
