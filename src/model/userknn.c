/* User–user neighbours: what users with much the same history have besides.
 *
 * Source: neighbourhood models as in Herlocker, Konstan, Borchers, Riedl 1999, with the cosine and
 * shrinkage of Bell, Koren 2007 and items weighted by inverse document frequency (Breese,
 * Heckerman, Kadie 1998). With p_ui = √w_ui·idfᵢ, idfᵢ = ln(1 + U/nᵢ)^idf, nᵢ the users who have
 * item i: sim(u, v) = Σᵢ p_ui·p_vi / (‖p_u‖·‖p_v‖ + shrink), score(j)  = Σ over the `neighbours`
 * nearest v of sim(u, v)^sharpness · √w_vj · nⱼ^−b. u is the query's history, not a stored row: a
 * user never met is the normal case, and an event counts in the next slate. The others are as of
 * training.
 *
 * Departure: the neighbours are found through an inverted index, item → users, and the list of
 * an item that many have is cut to the `posting_max` users in whose profile it weighs most. What is
 * lost are neighbours that share nothing but popular items.
 *
 * Shapes: rows users × items and lists items × users, both compressed. Costs: 16 bytes an
 * interaction, 12 an item and 12 a user in the snapshot, 8 more an item when serving; a query
 * adds the lists of the history's items, then the rows of the neighbours. A fit is linear but for
 * the lists, which are ordered. One thread, nothing random. */
#include "base/mem.h"
#include "model/query.h"
#include "model/section.h"

#include <math.h>
#include <string.h>

#define NEIGHBOURS_MAX 10000

static const wn_param_spec user_knn_params[] = {
    {"neighbours", 100, 1, NEIGHBOURS_MAX, "nearest users whose items are candidates"},
    {"shrink", 5, 0, 1e6, "added to the product of lengths: short profiles are less alike"},
    {"idf", 1, 0, 4, "exponent of an item's rarity in what makes users alike"},
    {"sharpness", 1, 0, 10, "exponent of a neighbour's similarity"},
    {"b", 0.1, 0, 2, "exponent of the candidate's popularity"},
    {"posting_max", 5000, 1, 1e7, "users kept for an item that many have"},
    {"row_max", 1000, 1, 1e6, "newest items of a user that count"},
    {"history_max", 1000, 1, 1e6, "newest items of a query that count"},
};

/* Snapshot section "user-knn/head". */
typedef struct user_knn_head {
  uint32_t version;
  uint32_t users;
  uint32_t items;
  uint32_t neighbours;
  uint32_t history_max;
  uint32_t reserved;
  double shrink, idf, sharpness, b;
} user_knn_head;

/* A compressed matrix: one half of the model. */
typedef struct half {
  const uint64_t *ptr;
  const uint32_t *ix;
  const float *value; /* √w */
} half;

typedef struct user_knn {
  wn_model base;
  user_knn_head head;
  half rows;             /* by user: items */
  half lists;            /* by item: users */
  const float *norm;     /* [users] ‖p_v‖ */
  const uint32_t *count; /* [items] users who have it */
  float *rarity;         /* [items] idf² */
  float *target;         /* [items] count^−b */
  void *owned[8];        /* of a fitted model */
} user_knn;

static void user_knn_free(wn_model *model) {
  user_knn *m = (user_knn *)model;
  if (m == NULL) return;
  for (size_t i = 0; i < sizeof m->owned / sizeof *m->owned; i++) wn_free(m->owned[i]);
  wn_free(m->rarity);
  wn_free(m->target);
  wn_free(m);
}

/* Once head and counts are set. */
static wn_status weigh_items(user_knn *m, wn_error *err) {
  m->rarity = wn_calloc((size_t)m->head.items + 1, sizeof *m->rarity);
  m->target = wn_calloc((size_t)m->head.items + 1, sizeof *m->target);
  if (m->rarity == NULL || m->target == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < m->head.items; i++) {
    double n = fmax(1, (double)m->count[i]);
    double idf = pow(log(1 + (double)m->head.users / n), m->head.idf);
    m->rarity[i] = (float)(idf * idf);
    m->target[i] = (float)pow(n, -m->head.b);
  }
  return WN_OK;
}

/* ---- fitting ---- */

static bool counts(float weight) {
  return weight > 0 && isfinite(weight);
}

/* The newest row_max positive entries of each user, oldest first. */
static wn_status take_rows(user_knn *m, const wn_csr *csr, uint32_t row_max, wn_error *err) {
  uint64_t *ptr = m->owned[0] = wn_calloc((size_t)csr->rows + 1, sizeof *ptr);
  uint32_t *ix = m->owned[1] = wn_calloc((size_t)csr->nnz + 1, sizeof *ix);
  float *value = m->owned[2] = wn_calloc((size_t)csr->nnz + 1, sizeof *value);
  uint32_t *count = m->owned[3] = wn_calloc((size_t)csr->cols + 1, sizeof *count);
  if (ptr == NULL || ix == NULL || value == NULL || count == NULL) return wn_fail_memory(err);
  uint64_t n = 0;
  for (uint32_t u = 0; u < csr->rows; u++) {
    uint64_t begin = csr->row_ptr[u + 1];
    for (uint32_t k = 0; begin > csr->row_ptr[u] && k < row_max;) k += counts(csr->weight[--begin]);
    for (uint64_t i = begin; i < csr->row_ptr[u + 1]; i++) {
      if (!counts(csr->weight[i])) continue;
      count[csr->col[i]]++;
      ix[n] = csr->col[i];
      value[n++] = sqrtf(csr->weight[i]);
    }
    ptr[u + 1] = n;
  }
  m->rows = (half){ptr, ix, value};
  m->count = count;
  return WN_OK;
}

static wn_status measure_rows(user_knn *m, wn_error *err) {
  float *norm = m->owned[4] = wn_calloc((size_t)m->head.users + 1, sizeof *norm);
  if (norm == NULL) return wn_fail_memory(err);
  for (uint32_t u = 0; u < m->head.users; u++) {
    double sum = 0;
    for (uint64_t i = m->rows.ptr[u]; i < m->rows.ptr[u + 1]; i++) {
      double x = (double)m->rows.value[i];
      sum += x * x * (double)m->rarity[m->rows.ix[i]];
    }
    norm[u] = (float)fmin(sqrt(sum), 1e30);
  }
  m->norm = norm;
  return WN_OK;
}

/* Each item's users, ascending, with √w_vi/‖p_v‖. */
static void invert(const user_knn *m, uint64_t *ptr, uint32_t *ix, float *value) {
  const half *rows = &m->rows;
  for (uint64_t i = 0; i < rows->ptr[m->head.users]; i++) ptr[rows->ix[i] + 1]++;
  for (uint32_t i = 0; i < m->head.items; i++) ptr[i + 1] += ptr[i];
  for (uint32_t u = 0; u < m->head.users; u++) {
    for (uint64_t i = rows->ptr[u]; i < rows->ptr[u + 1]; i++) {
      uint64_t at = ptr[rows->ix[i]]++;
      ix[at] = u;
      value[at] = m->norm[u] > 0 ? rows->value[i] / m->norm[u] : 0;
    }
  }
  memmove(ptr + 1, ptr, m->head.items * sizeof *ptr);
  ptr[0] = 0;
}

/* Leaves of each list the `most` users in whose profile the item weighs most. */
static void cut_lists(uint32_t items, uint64_t *ptr, uint32_t *ix, float *value, wn_topk *top) {
  uint64_t begin = 0, n = 0;
  for (uint32_t i = 0; i < items; i++) {
    uint64_t end = ptr[i + 1];
    top->len = 0;
    for (uint64_t k = begin; k < end; k++) wn_topk_push(top, ix[k], value[k]);
    bool cut = end - begin > top->k;
    for (uint64_t k = begin; k < end; k++) {
      if (cut && wn_scored_before(top->heap[0], (wn_scored){ix[k], value[k]})) continue;
      ix[n] = ix[k];
      value[n++] = value[k];
    }
    begin = end;
    ptr[i + 1] = n;
  }
}

static wn_status make_lists(user_knn *m, uint32_t posting_max, wn_error *err) {
  size_t n = (size_t)m->rows.ptr[m->head.users] + 1;
  uint32_t most = m->head.users < posting_max ? m->head.users + 1 : posting_max;
  uint64_t *ptr = m->owned[5] = wn_calloc((size_t)m->head.items + 1, sizeof *ptr);
  uint32_t *ix = m->owned[6] = wn_calloc(n, sizeof *ix);
  float *value = m->owned[7] = wn_calloc(n, sizeof *value);
  wn_scored *storage = wn_calloc(most, sizeof *storage);
  bool good = ptr != NULL && ix != NULL && value != NULL && storage != NULL;
  if (good) {
    wn_topk top;
    wn_topk_init(&top, storage, most);
    invert(m, ptr, ix, value);
    cut_lists(m->head.items, ptr, ix, value, &top);
    m->lists = (half){ptr, ix, value};
  }
  wn_free(storage);
  return good ? WN_OK : wn_fail_memory(err);
}

static wn_status user_knn_fit(const wn_dataset *data, const wn_params *params,
                              const wn_fit_env *env, wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_user_knn;
  user_knn *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  m->head = (user_knn_head){.version = 1,
                            .users = data->by_user.rows,
                            .items = data->by_user.cols,
                            .neighbours = (uint32_t)wn_param(cls, params, "neighbours"),
                            .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                            .shrink = wn_param(cls, params, "shrink"),
                            .idf = wn_param(cls, params, "idf"),
                            .sharpness = wn_param(cls, params, "sharpness"),
                            .b = wn_param(cls, params, "b")};
  wn_status status;
  if (!wn_progress_at(env->progress, "user-knn", 0, 1, "steps"))
    WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "training was cancelled"));
  WN_TRY(take_rows(m, &data->by_user, (uint32_t)wn_param(cls, params, "row_max"), err));
  WN_TRY(weigh_items(m, err));
  WN_TRY(measure_rows(m, err));
  WN_TRY(make_lists(m, (uint32_t)wn_param(cls, params, "posting_max"), err));
  *out = &m->base;
  m = NULL;
cleanup:
  user_knn_free(m != NULL ? &m->base : NULL);
  return status;
}

/* ---- answering ---- */

/* The query's positive part: whole histories, not only WN_HISTORY_MAX of them. */
static wn_status positives(const user_knn *m, const wn_query *query, wn_arena *arena,
                           wn_positive **out, size_t *len, wn_error *err) {
  size_t max = query->history_len < m->head.history_max ? query->history_len : m->head.history_max;
  *out = wn_arena_alloc(arena, (max + 1) * sizeof **out);
  if (*out == NULL) return wn_fail_memory(err);
  *len = wn_query_positives(query, m->head.items, max, *out);
  return WN_OK;
}

/* ‖p_u‖, and for each other user who shares an item Σᵢ p_ui·p_vi/‖p_v‖. */
static bool share(const user_knn *m, const wn_positive *history, size_t len, wn_arena *arena,
                  wn_accum *shared, double *norm) {
  const half *lists = &m->lists;
  uint64_t adds = 0;
  *norm = 0;
  for (size_t i = 0; i < len; i++)
    adds += lists->ptr[history[i].item + 1] - lists->ptr[history[i].item];
  if (!wn_accum_init(shared, m->head.users, (size_t)adds, arena)) return false;
  for (size_t i = 0; i < len; i++) {
    wn_item_ix item = history[i].item;
    float x = sqrtf(history[i].weight) * m->rarity[item];
    *norm += (double)history[i].weight * (double)m->rarity[item];
    for (uint64_t k = lists->ptr[item]; k < lists->ptr[item + 1]; k++)
      wn_accum_add(shared, lists->ix[k], x * lists->value[k]);
  }
  *norm = sqrt(*norm);
  return true;
}

/* The nearest users, best first, without the query's own. */
static wn_status nearest(const user_knn *m, const wn_query *query, wn_arena *arena, wn_topk *top,
                         wn_error *err) {
  wn_positive *history;
  size_t len = 0;
  wn_accum shared;
  double norm;
  wn_status status = positives(m, query, arena, &history, &len, err);
  if (status != WN_OK || len == 0) return status;
  if (!share(m, history, len, arena, &shared, &norm)) return wn_fail_memory(err);
  for (size_t slot = 0; slot < shared.slots; slot++) {
    if (!(shared.sum[slot] > 0)) continue;
    uint32_t v = shared.key != NULL ? shared.key[slot] : (uint32_t)slot;
    double sim = (double)shared.sum[slot] / (norm + m->head.shrink / (double)m->norm[v]);
    if (v != query->user && sim > 0) wn_topk_push(top, v, (float)sim);
  }
  return WN_OK;
}

static wn_status user_knn_ask(wn_ask *ask, const wn_model *model, const wn_query *query,
                              wn_arena *arena, wn_error *err) {
  const user_knn *m = (const user_knn *)model;
  wn_scored *near = wn_arena_alloc(arena, m->head.neighbours * sizeof *near);
  if (near == NULL) return wn_fail_memory(err);
  wn_topk top;
  wn_topk_init(&top, near, m->head.neighbours);
  wn_status status = nearest(m, query, arena, &top, err);
  size_t n = wn_topk_sort(&top);
  if (status != WN_OK || n == 0) return status;
  uint64_t adds = 0;
  for (size_t k = 0; k < n; k++) adds += m->rows.ptr[near[k].ix + 1] - m->rows.ptr[near[k].ix];
  if (!wn_accum_init(&ask->accum, m->head.items, (size_t)adds, arena)) return wn_fail_memory(err);
  ask->any = true;
  for (size_t k = 0; k < n; k++) {
    float sim = (float)pow((double)near[k].score, m->head.sharpness);
    for (uint64_t i = m->rows.ptr[near[k].ix]; i < m->rows.ptr[near[k].ix + 1]; i++) {
      wn_item_ix j = m->rows.ix[i];
      wn_accum_add(&ask->accum, j, sim * m->rows.value[i] * m->target[j]);
    }
  }
  return WN_OK;
}

static wn_status user_knn_candidates(const wn_model *model, const wn_query *query, size_t k,
                                     wn_scored *out, size_t *count, wn_error *err) {
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = wn_ask_top(user_knn_ask, model, query, &top, err);
  *count = wn_topk_sort(&top);
  return status;
}

static wn_status user_knn_score_all(const wn_model *model, const wn_query *query, float *scores,
                                    uint32_t items, wn_error *err) {
  return wn_ask_all(user_knn_ask, model, query, scores, items, err);
}

static wn_status user_knn_similar_users(const wn_model *model, const wn_query *query, size_t k,
                                        wn_scored *out, size_t *count, wn_error *err) {
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = nearest((const user_knn *)model, query, arena, &top, err);
  *count = wn_topk_sort(&top);
  wn_arena_clear(&local);
  return status;
}

/* ---- snapshots ---- */

static wn_status save_half(const half *h, uint64_t rows, const char *const names[3],
                           wn_snapshot_writer *writer, wn_error *err) {
  uint64_t n = h->ptr[rows];
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, names[0], h->ptr, (rows + 1) * sizeof *h->ptr, err));
  WN_TRY(wn_snapshot_write(writer, names[1], h->ix, n * sizeof *h->ix, err));
  WN_TRY(wn_snapshot_write(writer, names[2], h->value, n * sizeof *h->value, err));
cleanup:
  return status;
}

static const char *const row_names[] = {"user-knn/row_ptr", "user-knn/row_item",
                                        "user-knn/row_value"};
static const char *const list_names[] = {"user-knn/list_ptr", "user-knn/list_user",
                                         "user-knn/list_value"};

static wn_status user_knn_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const user_knn *m = (const user_knn *)model;
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, "user-knn/head", &m->head, sizeof m->head, err));
  WN_TRY(save_half(&m->rows, m->head.users, row_names, writer, err));
  WN_TRY(save_half(&m->lists, m->head.items, list_names, writer, err));
  WN_TRY(wn_snapshot_write(writer, "user-knn/norm", m->norm, m->head.users * sizeof *m->norm, err));
  WN_TRY(
      wn_snapshot_write(writer, "user-knn/count", m->count, m->head.items * sizeof *m->count, err));
cleanup:
  return status;
}

static bool in_range(const char *name, double value) {
  for (size_t i = 0; i < wn_model_user_knn.params_len; i++) {
    const wn_param_spec *spec = &wn_model_user_knn.params[i];
    if (strcmp(spec->name, name) == 0) return value >= spec->min && value <= spec->max;
  }
  return false;
}

static wn_status check_head(const user_knn_head *h, wn_error *err) {
  if (h->version != 1) {
    return wn_fail(err, WN_E_CORRUPT, "user-knn/head", "version %u, expected 1: train again",
                   h->version);
  }
  if (!in_range("neighbours", h->neighbours) || !in_range("history_max", h->history_max) ||
      !in_range("shrink", h->shrink) || !in_range("idf", h->idf) ||
      !in_range("sharpness", h->sharpness) || !in_range("b", h->b)) {
    return wn_fail(err, WN_E_CORRUPT, "user-knn/head", "parameters are out of range");
  }
  return WN_OK;
}

static wn_status map_half(const wn_snapshot *snapshot, const char *const names[3], uint32_t rows,
                          uint32_t cols, half *out, wn_error *err) {
  uint64_t n = 0;
  wn_status status;
  WN_TRY(wn_section_offsets(snapshot, names[0], rows, &out->ptr, &n, err));
  WN_TRY(wn_section_indexes(snapshot, names[1], n, cols, &out->ix, err));
  WN_TRY(wn_section_numbers(snapshot, names[2], n, &out->value, err));
cleanup:
  return status;
}

static wn_status user_knn_validate(const wn_model *model, wn_error *err) {
  const user_knn *m = (const user_knn *)model;
  const user_knn_head *h = &m->head;
  wn_status status;
  WN_TRY(check_head(h, err));
  WN_TRY(wn_check_finite(row_names[2], m->rows.value, m->rows.ptr[h->users], err));
  WN_TRY(wn_check_finite(list_names[2], m->lists.value, m->lists.ptr[h->items], err));
  WN_TRY(wn_check_finite("user-knn/norm", m->norm, h->users, err));
cleanup:
  return status;
}

static wn_status user_knn_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  user_knn *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_user_knn;
  const void *data = NULL;
  wn_status status;
  WN_TRY(wn_section_array(snapshot, "user-knn/head", sizeof m->head, 1, &data, err));
  memcpy(&m->head, data, sizeof m->head);
  WN_TRY(check_head(&m->head, err));
  WN_TRY(map_half(snapshot, row_names, m->head.users, m->head.items, &m->rows, err));
  WN_TRY(map_half(snapshot, list_names, m->head.items, m->head.users, &m->lists, err));
  WN_TRY(wn_section_numbers(snapshot, "user-knn/norm", m->head.users, &m->norm, err));
  WN_TRY(wn_section_array(snapshot, "user-knn/count", sizeof *m->count, m->head.items, &data, err));
  m->count = data;
  WN_TRY(user_knn_validate(&m->base, err));
  WN_TRY(weigh_items(m, err));
  *out = &m->base;
  m = NULL;
cleanup:
  user_knn_free(m != NULL ? &m->base : NULL);
  return status;
}

const wn_model_class wn_model_user_knn = {
    .name = "user-knn",
    .doc = "what users with much the same history have besides",
    .flags = WN_MODEL_HISTORY | WN_MODEL_BY_NAME,
    .params = user_knn_params,
    .params_len = sizeof user_knn_params / sizeof *user_knn_params,
    .fit = user_knn_fit,
    .save = user_knn_save,
    .map = user_knn_map,
    .validate = user_knn_validate,
    .candidates = user_knn_candidates,
    .score_all = user_knn_score_all,
    .similar_users = user_knn_similar_users,
    .free = user_knn_free,
};
