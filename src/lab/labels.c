/* Groups of rows. Costs: a sort of the rows, or a pass over the records and a sort of their
 * values. Deterministic. */
#include "lab/labels.h"

#include "base/dict.h"
#include "base/mem.h"
#include "base/vec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct amount {
  uint32_t n, row;
} amount;

static int greatest_first(const void *a, const void *b) {
  const amount *x = a, *y = b;
  if (x->n != y->n) return x->n > y->n ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static wn_status open(wn_labels *out, const char *by, uint32_t rows, uint32_t groups,
                      wn_error *err) {
  memset(out, 0, sizeof *out);
  snprintf(out->by, sizeof out->by, "%s", by);
  out->rows = rows;
  out->groups = groups;
  out->name = wn_calloc(groups + (size_t)1, sizeof *out->name);
  out->ptr = wn_calloc((size_t)rows + 1, sizeof *out->ptr);
  if (out->name != NULL && out->ptr != NULL) return WN_OK;
  wn_labels_clear(out);
  return wn_fail_memory(err);
}

/* `third` of each row, by how much of the amount, or how many rows, come before it. */
static wn_status thirds(const uint32_t *n, uint32_t rows, bool by_rows, wn_labels *out,
                        wn_error *err) {
  amount *order = wn_reallocarray(NULL, (size_t)rows + 1, sizeof *order);
  uint8_t *third = wn_malloc((size_t)rows + 1);
  double total = 0, before = 0;
  out->group = third;
  if (order == NULL || third == NULL) {
    wn_free(order);
    wn_labels_clear(out);
    return wn_fail_memory(err);
  }
  for (uint32_t r = 0; r < rows; r++) {
    order[r] = (amount){n[r], r};
    total += by_rows ? n[r] > 0 : n[r];
  }
  qsort(order, rows, sizeof *order, greatest_first);
  memset(third, UINT8_MAX, rows);
  for (uint32_t i = 0; i < rows && order[i].n > 0; i++) {
    int at = (int)(3 * before / total);
    third[order[i].row] = (uint8_t)(by_rows ? 2 - at : at);
    before += by_rows ? 1 : order[i].n;
  }
  uint64_t len = 0;
  for (uint32_t r = 0; r < rows; r++) {
    if (third[r] != UINT8_MAX) third[len++] = third[r];
    out->ptr[r + 1] = len;
  }
  wn_free(order);
  return WN_OK;
}

wn_status wn_labels_thirds(const uint32_t *n, uint32_t rows, const char *by,
                           const char *const names[3], wn_labels *out, wn_error *err) {
  wn_status status = open(out, by, rows, 3, err);
  if (status != WN_OK) return status;
  for (int g = 0; g < 3; g++) snprintf(out->name[g], sizeof out->name[g], "%s", names[g]);
  return thirds(n, rows, false, out, err);
}

wn_status wn_labels_terciles(const uint32_t *n, uint32_t rows, const char *by,
                             const char *const names[3], wn_labels *out, wn_error *err) {
  wn_status status = open(out, by, rows, 3, err);
  if (status != WN_OK) return status;
  for (int g = 0; g < 3; g++) snprintf(out->name[g], sizeof out->name[g], "%s", names[g]);
  return thirds(n, rows, true, out, err);
}

/* --- by attribute --- */

typedef struct labelled {
  uint32_t row, value;
} labelled;

struct wn_labels_builder {
  char attribute[65];
  uint32_t rows;
  wn_dict *values;
  WN_VEC(labelled) pairs;
};

wn_labels_builder *wn_labels_builder_create(const char *attribute, uint32_t rows) {
  wn_labels_builder *b = wn_calloc(1, sizeof *b);
  if (b == NULL) return NULL;
  snprintf(b->attribute, sizeof b->attribute, "%s", attribute);
  b->rows = rows;
  b->values = wn_dict_create();
  if (b->values != NULL) return b;
  wn_free(b);
  return NULL;
}

void wn_labels_builder_free(wn_labels_builder *b) {
  if (b == NULL) return;
  wn_dict_free(b->values);
  wn_vec_clear(&b->pairs);
  wn_free(b);
}

static wn_status add(wn_labels_builder *b, uint32_t row, wn_str value, wn_error *err) {
  uint32_t code;
  bool added;
  if (value.len == 0) return WN_OK;
  if (wn_dict_add(b->values, value, &code, &added) != WN_OK ||
      !wn_vec_push(&b->pairs, ((labelled){row, code})))
    return wn_fail_memory(err);
  return WN_OK;
}

wn_status wn_labels_builder_add(wn_labels_builder *b, uint32_t row, const wn_attrs *attrs,
                                wn_error *err) {
  const wn_attr *a = wn_attrs_find(attrs, b->attribute);
  char text[32];
  wn_status status = WN_OK;
  if (a == NULL || row >= b->rows) return WN_OK;
  switch (a->kind) {
  case WN_ATTR_STRING: return add(b, row, a->string, err);
  case WN_ATTR_BOOL: return add(b, row, wn_str_of(a->boolean ? "true" : "false"), err);
  case WN_ATTR_NUMBER:
    snprintf(text, sizeof text, "%.15g", a->number);
    return add(b, row, wn_str_of(text), err);
  case WN_ATTR_LIST:
    for (size_t i = 0; i < a->list_len && status == WN_OK; i++)
      status = add(b, row, a->list[i], err);
  }
  return status;
}

static int by_row(const void *a, const void *b) {
  const labelled *x = a, *y = b;
  if (x->row != y->row) return x->row < y->row ? -1 : 1;
  return (x->value > y->value) - (x->value < y->value);
}

/* The most frequent values get groups of their own, by frequency. */
static uint32_t rank_values(const wn_labels_builder *b, amount *order, uint8_t *group_of) {
  uint32_t values = wn_dict_count(b->values);
  for (uint32_t v = 0; v < values; v++) order[v] = (amount){0, v};
  for (size_t i = 0; i < b->pairs.len; i++) order[b->pairs.data[i].value].n++;
  qsort(order, values, sizeof *order, greatest_first);
  uint32_t own = values <= WN_LABELS_MAX ? values : WN_LABELS_MAX - 1;
  for (uint32_t i = 0; i < values; i++)
    group_of[order[i].row] = (uint8_t)(i < own ? i : WN_LABELS_MAX - 1);
  return values <= WN_LABELS_MAX ? values : WN_LABELS_MAX;
}

static void fill(const wn_labels_builder *b, const amount *order, const uint8_t *group_of,
                 wn_labels *out) {
  uint64_t len = 0;
  size_t i = 0;
  for (uint32_t g = 0; g < out->groups; g++) {
    wn_str name = wn_dict_key(b->values, order[g].row);
    bool other = g + 1 == WN_LABELS_MAX && wn_dict_count(b->values) > WN_LABELS_MAX;
    snprintf(out->name[g], sizeof out->name[g], "%.*s",
             other ? 5 : (int)(name.len > 64 ? 64 : name.len), other ? "other" : name.ptr);
  }
  for (uint32_t r = 0; r < out->rows; r++) {
    uint64_t begin = len;
    for (; i < b->pairs.len && b->pairs.data[i].row == r; i++) {
      uint8_t g = group_of[b->pairs.data[i].value];
      bool had = false;
      for (uint64_t p = begin; p < len; p++) had |= out->group[p] == g;
      if (!had) out->group[len++] = g;
    }
    out->ptr[r + 1] = len;
  }
}

wn_status wn_labels_builder_finish(const wn_labels_builder *b, wn_labels *out, wn_error *err) {
  uint32_t values = wn_dict_count(b->values);
  amount *order = wn_reallocarray(NULL, values + (size_t)1, sizeof *order);
  uint8_t *group_of = wn_malloc(values + (size_t)1);
  wn_status status = WN_OK;
  memset(out, 0, sizeof *out);
  if (order == NULL || group_of == NULL) WN_TRY(wn_fail_memory(err));
  if (values == 0)
    WN_TRY(
        wn_fail(err, WN_E_NOT_FOUND, "attribute", "nothing has an attribute `%s`", b->attribute));
  WN_TRY(open(out, b->attribute, b->rows, rank_values(b, order, group_of), err));
  out->group = wn_malloc(b->pairs.len + 1);
  if (out->group == NULL) WN_TRY(wn_fail_memory(err));
  qsort(b->pairs.data, b->pairs.len, sizeof *b->pairs.data, by_row);
  fill(b, order, group_of, out);
cleanup:
  if (status != WN_OK) wn_labels_clear(out);
  wn_free(order);
  wn_free(group_of);
  return status;
}

static wn_status each_item(void *ctx, wn_item_ix ix, const wn_item_record *item, wn_error *err) {
  return wn_labels_builder_add(ctx, ix, &item->attrs, err);
}

wn_status wn_labels_of_items(wn_item_source source, const char *attribute, uint32_t items,
                             wn_labels *out, wn_error *err) {
  memset(out, 0, sizeof *out);
  wn_labels_builder *b = wn_labels_builder_create(attribute, items);
  if (b == NULL) return wn_fail_memory(err);
  wn_status status = source.scan(source.ctx, each_item, b, err);
  if (status == WN_OK) status = wn_labels_builder_finish(b, out, err);
  wn_labels_builder_free(b);
  return status;
}

void wn_labels_clear(wn_labels *labels) {
  wn_free(labels->name);
  wn_free(labels->ptr);
  wn_free(labels->group);
  memset(labels, 0, sizeof *labels);
}
