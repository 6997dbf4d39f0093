#include "serve/retrieval.h"
#include "base/log.h"
#include "base/mem.h"
#include "index/index.h"
#include "model/section.h"

#include <string.h>

#define DEPTH 200u /* that recall is measured at */

/* A funnel asks for items, and has other generators: of a million, 99.9% of what it shows is the
 * same at .95 as at .99, which scans three times as many codes (funnel/README.md). */
static const struct {
  const char *section;
  wn_metric metric;
  double recall;
} kinds[WN_NEAREST_KINDS] = {
    [WN_NEAREST_ITEMS] = {"index/items", WN_METRIC_IP, .95},
    [WN_NEAREST_ALIKE] = {"index/alike", WN_METRIC_COSINE, .99},
    [WN_NEAREST_USERS] = {"index/users", WN_METRIC_COSINE, .99},
};
#define ROWS_SECTION "index/rows"

struct wn_retrieval {
  wn_nearest nearest;
  wn_index *index[WN_NEAREST_KINDS];
  wn_vectors items, users; /* rows; of items the snapshot's or own_rows */
  float *own_rows;
};

/* ---- what a model asks ---- */

static bool retrieval_answers(const void *ctx, wn_nearest_kind kind) {
  return ((const wn_retrieval *)ctx)->index[kind] != NULL;
}

static wn_status retrieval_find(const void *ctx, const wn_nearest_ask *ask, wn_arena *arena,
                                wn_scored *out, size_t *count, wn_error *err) {
  const wn_retrieval *retrieval = ctx;
  wn_index_answer answer = {.items = out};
  wn_index_query query = {.vector = ask->x,
                          .k = ask->k < UINT32_MAX ? (uint32_t)ask->k : UINT32_MAX,
                          .allowed = ask->allowed,
                          .recall = kinds[ask->kind].recall};
  wn_status status = wn_index_search(retrieval->index[ask->kind], &query, arena, &answer, err);
  *count = answer.count;
  return status;
}

static bool put_into(wn_index *index, uint32_t item, const float *vector) {
  wn_error err;
  if (vector != NULL) return wn_index_upsert(index, item, vector, &err) == WN_OK;
  wn_status status = wn_index_remove(index, item, &err);
  return status == WN_OK || status == WN_E_NOT_FOUND;
}

static bool retrieval_put(void *ctx, uint32_t item, const float *vector) {
  wn_retrieval *retrieval = ctx;
  bool noted = true;
  for (int kind = WN_NEAREST_ITEMS; kind <= WN_NEAREST_ALIKE; kind++) {
    if (retrieval->index[kind] == NULL) continue;
    noted = noted && put_into(retrieval->index[kind], item, vector);
  }
  return noted;
}

const wn_nearest *wn_retrieval_nearest(const wn_retrieval *retrieval) {
  return &retrieval->nearest;
}

wn_index *wn_retrieval_index(const wn_retrieval *retrieval, int kind) {
  return retrieval->index[kind];
}

size_t wn_retrieval_row_bytes(const wn_retrieval *retrieval) {
  if (retrieval->own_rows == NULL) return 0;
  return (size_t)retrieval->items.count * retrieval->items.dims * sizeof(float);
}

/* ---- making one ---- */

static wn_retrieval *create(const wn_als *als) {
  wn_retrieval *r = wn_calloc(1, sizeof *r);
  if (r == NULL) return NULL;
  r->nearest = (wn_nearest){r, retrieval_answers, retrieval_find, retrieval_put};
  r->items = (wn_vectors){NULL, als->head.items, als->head.d};
  r->users = (wn_vectors){als->user, als->head.users, als->head.d};
  return r;
}

void wn_retrieval_free(wn_retrieval *retrieval) {
  if (retrieval == NULL) return;
  for (int kind = 0; kind < WN_NEAREST_KINDS; kind++) wn_index_free(retrieval->index[kind]);
  wn_free(retrieval->own_rows);
  wn_free(retrieval);
}

static bool wants(const wn_als *als, const wn_retrieval_options *options, int kind) {
  return (kind == WN_NEAREST_USERS ? als->head.users : als->head.rows) >= options->items_min;
}

static const wn_vectors *rows_of(const wn_retrieval *r, int kind) {
  return kind == WN_NEAREST_USERS ? &r->users : &r->items;
}

static wn_status map_index(wn_retrieval *r, const wn_snapshot *snapshot, int kind, wn_error *err) {
  const void *bytes;
  uint64_t size;
  wn_index_about about;
  wn_status status = WN_OK;
  WN_TRY(wn_snapshot_section(snapshot, kinds[kind].section, 1, &bytes, &size, err));
  WN_TRY(wn_index_map(bytes, (size_t)size, rows_of(r, kind), &r->index[kind], err));
  wn_index_about_of(r->index[kind], &about);
  if (about.metric == kinds[kind].metric) return WN_OK;
  return wn_fail(err, WN_E_CORRUPT, kinds[kind].section, "is by %s, expected %s",
                 wn_metric_name(about.metric), wn_metric_name(kinds[kind].metric));
cleanup:
  return status;
}

wn_status wn_retrieval_map(const wn_snapshot *snapshot, const wn_als *als,
                           const wn_retrieval_options *options, wn_retrieval **out, wn_error *err) {
  wn_status status = WN_OK;
  wn_retrieval *r = NULL;
  bool any = false;
  *out = NULL;
  for (int kind = 0; kind < WN_NEAREST_KINDS; kind++) {
    if (!wants(als, options, kind)) continue;
    if (snapshot == NULL || !wn_snapshot_has(snapshot, kinds[kind].section)) return WN_OK;
    any = true;
  }
  if (!any) return WN_OK;
  if ((r = create(als)) == NULL) return wn_fail_memory(err);
  if (wants(als, options, WN_NEAREST_ITEMS)) {
    uint64_t numbers = (uint64_t)als->head.items * als->head.d;
    WN_TRY(wn_section_floats(snapshot, ROWS_SECTION, numbers, &r->items.data, err));
  }
  for (int kind = 0; kind < WN_NEAREST_KINDS; kind++) {
    if (wants(als, options, kind)) WN_TRY(map_index(r, snapshot, kind, err));
  }
  *out = r;
  r = NULL;
cleanup:
  wn_retrieval_free(r);
  return status;
}

/* The items' vectors by item, and which there are. */
static bool take_items(wn_retrieval *r, const wn_als *als, wn_bitset *present) {
  uint32_t d = als->head.d;
  r->own_rows = wn_calloc((size_t)als->head.items * d, sizeof *r->own_rows);
  if (r->own_rows == NULL || !wn_bitset_init(present, als->head.items)) return false;
  for (uint32_t ix = 0; ix < als->head.items; ix++) {
    uint32_t row = als->row_of[ix];
    if (row == WN_NO_IX) continue;
    memcpy(r->own_rows + (size_t)ix * d, als->item + (size_t)row * d, d * sizeof(float));
    wn_bitset_set(present, ix);
  }
  r->items.data = r->own_rows;
  return true;
}

static bool take_users(const wn_als *als, wn_bitset *present) {
  if (!wn_bitset_init(present, als->head.users)) return false;
  for (uint32_t u = 0; u < als->head.users; u++) {
    if (als->user_scale[u] > 0) wn_bitset_set(present, u);
  }
  return true;
}

static wn_status build_index(wn_retrieval *r, const wn_retrieval_options *how, int kind,
                             const wn_bitset *present, wn_error *err) {
  wn_index_options options;
  wn_index_options_defaults(&options);
  options.metric = kinds[kind].metric;
  options.recall = kinds[kind].recall;
  options.k = DEPTH;
  options.present = present;
  options.pool = how->pool;
  options.progress = how->progress;
  if (kind == WN_NEAREST_ITEMS) options.queries = r->users;
  return wn_index_build(rows_of(r, kind), &options, &r->index[kind], err);
}

wn_status wn_retrieval_build(const wn_als *als, const wn_retrieval_options *options,
                             wn_retrieval **out, wn_error *err) {
  wn_status status = WN_OK;
  bool items = wants(als, options, WN_NEAREST_ITEMS), users = wants(als, options, WN_NEAREST_USERS);
  wn_bitset present = {0}, known = {0};
  *out = NULL;
  if (!items && !users) return WN_OK;
  wn_retrieval *r = create(als);
  if (r == NULL) return wn_fail_memory(err);
  if (items) {
    if (!take_items(r, als, &present)) WN_TRY(wn_fail_memory(err));
    WN_TRY(build_index(r, options, WN_NEAREST_ALIKE, &present, err));
    WN_TRY(build_index(r, options, WN_NEAREST_ITEMS, &present, err));
  }
  if (users) {
    if (!take_users(als, &known)) WN_TRY(wn_fail_memory(err));
    WN_TRY(build_index(r, options, WN_NEAREST_USERS, &known, err));
  }
  *out = r;
  r = NULL;
cleanup:
  wn_bitset_clear(&present);
  wn_bitset_clear(&known);
  wn_retrieval_free(r);
  return status;
}

/* ---- into a snapshot ---- */

static wn_status gather(void *ctx, const void *data, size_t bytes, wn_error *err) {
  wn_buf *image = ctx;
  wn_buf_append(image, data, bytes);
  return image->failed ? wn_fail_memory(err) : WN_OK;
}

static wn_status write_index(const wn_retrieval *r, int kind, wn_snapshot_writer *writer,
                             wn_error *err) {
  wn_buf image = {0};
  wn_index_sink sink = {&image, gather};
  wn_status status = WN_OK;
  WN_TRY(wn_index_write(r->index[kind], false, &sink, err));
  WN_TRY(wn_snapshot_write(writer, kinds[kind].section, image.data, image.len, err));
cleanup:
  wn_buf_clear(&image);
  return status;
}

wn_status wn_retrieval_write(const void *ctx, const wn_models *models, const wn_progress *progress,
                             wn_snapshot_writer *writer, wn_error *err) {
  wn_status status = WN_OK;
  wn_retrieval_options options = *(const wn_retrieval_options *)ctx;
  wn_retrieval *r = NULL;
  char text[600];
  const wn_model *model = wn_models_find(models, "als");
  if (model == NULL) return WN_OK;
  options.progress = progress;
  status = wn_retrieval_build((const wn_als *)model, &options, &r, err);
  if (status != WN_OK && status != WN_E_CANCELLED) {
    wn_log(WN_LOG_WARN, "the snapshot gets no index: %s", wn_error_format(err, text, sizeof text));
    return WN_OK;
  }
  if (status != WN_OK || r == NULL) return status;
  if (r->items.data != NULL) {
    uint64_t bytes = (uint64_t)r->items.count * r->items.dims * sizeof(float);
    WN_TRY(wn_snapshot_write(writer, ROWS_SECTION, r->items.data, bytes, err));
  }
  for (int kind = 0; kind < WN_NEAREST_KINDS; kind++) {
    if (r->index[kind] != NULL) WN_TRY(write_index(r, kind, writer, err));
  }
cleanup:
  wn_retrieval_free(r);
  return status;
}
