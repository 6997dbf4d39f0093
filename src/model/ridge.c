/* Local ridge as a model: sparse EASE (ridge: what is liked together) and its ordered sibling
 * (ridge-seq: what comes next). ridge_rows.c and ridge_fit.c have sources, formulas and costs of
 * the fit. Scores are a history's weighted sum of rows, so that folding in a user never seen costs
 * nothing: score(j) = Σᵢ wᵢ^power·aᵢ·W[i][j], aᵢ = 1, or exp(−stepᵢ/tau_query − hoursᵢ/hours) for
 * ridge-seq with steps and hours counted from the newest item. An anchor's answer is its
 * own row. Only positive sums are answers. 8 bytes a weight, at most k an item, 8 an item.
 * Deterministic; nothing is random. */
#include "model/ridge.h"

#include "base/mem.h"
#include "model/query.h"
#include "model/section.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HOUR_MS     3.6e6
#define HISTORY_MAX 1000000

static const wn_param_spec ridge_params[] = {
    {"lambda", 10, 0.001, 1e6, "ridge"},
    {"k", 128, 1, WN_RIDGE_K_MAX, "sources of each item at most"},
    {"user_exponent", 0.25, 0, 1, "users count by their number of items to minus twice this power"},
    {"power", 0.5, 0, 1, "a value is the interaction's weight to this power"},
    {"row_max", 1000, 2, 1e6, "newest items of a user that count"},
    {"history_max", 1000, 1, HISTORY_MAX, "newest items of a query that count"},
};

static const wn_param_spec ridge_seq_params[] = {
    {"lambda", 200, 0.001, 1e6, "ridge"},
    {"k", 128, 1, WN_RIDGE_K_MAX, "sources of each item at most"},
    {"tau", 4, 0.01, 1e6, "steps over which a source's weight falls to 1/e"},
    {"hours", 0, 0, 1e6, "hours over which it does so as well; 0: steps alone"},
    {"tau_query", 3, 0.01, 1e6, "steps over which a history item's weight falls to 1/e"},
    {"user_exponent", 0, 0, 1, "users count by their number of items to minus twice this power"},
    {"power", 0.5, 0, 1, "a value is the interaction's weight to this power"},
    {"row_max", 1000, 2, 1e6, "newest items of a user that count"},
    {"history_max", 1000, 1, HISTORY_MAX, "newest items of a query that count"},
};

/* Snapshot section "<class>/head". */
typedef struct ridge_head {
  uint32_t version;
  uint32_t items;
  uint32_t history_max;
  uint32_t reserved;
  double power;
  double tau_query; /* 0: order does not matter */
  double hours;     /* 0: steps alone */
} ridge_head;

typedef struct ridge {
  wn_model base;
  ridge_head head;
  const uint64_t *row_ptr; /* [items + 1] by source */
  const uint32_t *col;     /* targets */
  const float *weight;
  wn_ridge_weights owned; /* of a fitted model */
} ridge;

static void ridge_free(wn_model *model) {
  ridge *m = (ridge *)model;
  wn_ridge_weights_clear(&m->owned);
  wn_free(m);
}

static wn_status fit_class(const wn_model_class *cls, const wn_dataset *data,
                           const wn_params *params, const wn_fit_env *env, wn_model **out,
                           wn_error *err) {
  wn_ridge_rows rows = {0};
  ridge *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  m->head = (ridge_head){.version = 1,
                         .items = data->by_user.cols,
                         .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                         .power = wn_param(cls, params, "power"),
                         .tau_query = wn_param(cls, params, "tau_query"),
                         .hours = wn_param(cls, params, "hours")};
  wn_ridge_rule rule = {.power = m->head.power,
                        .user_exponent = wn_param(cls, params, "user_exponent"),
                        .row_max = (uint32_t)wn_param(cls, params, "row_max"),
                        .ordered = m->head.tau_query > 0,
                        .tau = wn_param(cls, params, "tau"),
                        .hours = m->head.hours};
  wn_ridge_solve_options of_solve = {.stage = cls->name,
                                     .k = (uint32_t)wn_param(cls, params, "k"),
                                     .lambda = wn_param(cls, params, "lambda")};
  wn_status status;
  WN_TRY(wn_ridge_rows_build(data, &rule, &rows, err));
  WN_TRY(wn_ridge_solve(&rows, &of_solve, env, &m->owned, err));
  m->row_ptr = m->owned.row_ptr;
  m->col = m->owned.col;
  m->weight = m->owned.weight;
  *out = &m->base;
  m = NULL;
cleanup:
  wn_ridge_rows_clear(&rows);
  if (m != NULL) ridge_free(&m->base);
  return status;
}

static wn_status fit_ridge(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                           wn_model **out, wn_error *err) {
  return fit_class(&wn_model_ridge, data, params, env, out, err);
}

static wn_status fit_ridge_seq(const wn_dataset *data, const wn_params *params,
                               const wn_fit_env *env, wn_model **out, wn_error *err) {
  return fit_class(&wn_model_ridge_seq, data, params, env, out, err);
}

/* ---- answering ---- */

/* The history's positive entries one by one: evaluation brings longer ones than fit on a stack. */
typedef struct walk {
  const wn_history_entry *entry;
  size_t at, taken;
  uint32_t step; /* distinct times of newer entries */
  int64_t newest;
} walk;

static bool walk_next(walk *w, const ridge *m, const wn_query *query) {
  for (; w->taken < m->head.history_max && w->at < query->history_len; w->at++) {
    const wn_history_entry *h = &query->history[w->at];
    if (h->item >= m->head.items || !(h->weight > 0) || !isfinite(h->weight)) continue;
    if (w->taken == 0) w->newest = h->time_ms;
    w->step += w->taken > 0 && h->time_ms != w->entry->time_ms;
    w->entry = h;
    w->taken++;
    w->at++;
    return true;
  }
  return false;
}

static float entry_weight(const ridge_head *head, const walk *w) {
  double x = pow((double)w->entry->weight, head->power);
  if (head->tau_query > 0) {
    double gone = w->step / head->tau_query;
    double age_ms = (double)w->newest - (double)w->entry->time_ms;
    if (head->hours > 0 && age_ms > 0) gone += age_ms / HOUR_MS / head->hours;
    x *= exp(-gone);
  }
  return (float)x;
}

static uint64_t row_len(const ridge *m, wn_item_ix item) {
  return m->row_ptr[item + 1] - m->row_ptr[item];
}

static void add_row(const ridge *m, wn_item_ix item, float factor, wn_accum *accum) {
  for (uint64_t k = m->row_ptr[item]; k < m->row_ptr[item + 1]; k++) {
    wn_accum_add(accum, m->col[k], factor * m->weight[k]);
  }
}

static wn_status ridge_ask(wn_ask *ask, const wn_model *model, const wn_query *query,
                           wn_arena *arena, wn_error *err) {
  const ridge *m = (const ridge *)model;
  uint64_t adds = 0;
  walk w = {0};
  while (walk_next(&w, m, query)) adds += row_len(m, w.entry->item);
  bool personal = w.taken > 0;
  if (!personal && query->anchor < m->head.items) {
    ask->without = query->anchor;
    adds = row_len(m, query->anchor);
  }
  if (adds == 0) return WN_OK;
  ask->any = true;
  if (!wn_accum_init(&ask->accum, m->head.items, (size_t)adds, arena)) return wn_fail_memory(err);
  if (!personal) add_row(m, query->anchor, 1, &ask->accum);
  w = (walk){0};
  while (personal && walk_next(&w, m, query)) {
    float factor = entry_weight(&m->head, &w);
    if (factor > 0) add_row(m, w.entry->item, factor, &ask->accum);
  }
  return WN_OK;
}

static wn_status ridge_candidates(const wn_model *model, const wn_query *query, size_t k,
                                  wn_scored *out, size_t *count, wn_error *err) {
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = wn_ask_top(ridge_ask, model, query, &top, err);
  *count = wn_topk_sort(&top);
  return status;
}

static wn_status ridge_score_all(const wn_model *model, const wn_query *query, float *scores,
                                 uint32_t items, wn_error *err) {
  return wn_ask_all(ridge_ask, model, query, scores, items, err);
}

/* ---- snapshots ---- */

static const char *section(const wn_model_class *cls, const char *part, char *buf, size_t size) {
  snprintf(buf, size, "%s/%s", cls->name, part);
  return buf;
}

static wn_status ridge_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const ridge *m = (const ridge *)model;
  uint64_t nnz = m->row_ptr[m->head.items];
  const struct {
    const char *name;
    const void *data;
    uint64_t bytes;
  } part[] = {
      {"head", &m->head, sizeof m->head},
      {"row_ptr", m->row_ptr, ((uint64_t)m->head.items + 1) * sizeof *m->row_ptr},
      {"col", m->col, nnz * sizeof *m->col},
      {"weight", m->weight, nnz * sizeof *m->weight},
  };
  for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
    char name[WN_SECTION_NAME_MAX + 1];
    wn_status status =
        wn_snapshot_write(writer, section(model->cls, part[i].name, name, sizeof name),
                          part[i].data, part[i].bytes, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static bool in_range(double x, double low, double high) {
  return x >= low && x <= high;
}

static wn_status check_head(const ridge *m, wn_error *err) {
  const ridge_head *h = &m->head;
  char name[WN_SECTION_NAME_MAX + 1];
  section(m->base.cls, "head", name, sizeof name);
  if (h->version != 1) {
    return wn_fail(err, WN_E_CORRUPT, name, "version %u, expected 1", h->version);
  }
  if (h->history_max < 1 || h->history_max > HISTORY_MAX || !in_range(h->power, 0, 1) ||
      !in_range(h->tau_query, 0, 1e6) || !in_range(h->hours, 0, 1e6)) {
    return wn_fail(err, WN_E_CORRUPT, name, "parameters are out of range");
  }
  return WN_OK;
}

static wn_status map_class(const wn_model_class *cls, const wn_snapshot *snapshot, wn_model **out,
                           wn_error *err) {
  char name[WN_SECTION_NAME_MAX + 1];
  const void *head = NULL;
  const uint64_t *row_ptr = NULL;
  const uint32_t *col = NULL;
  const float *weight = NULL;
  uint64_t nnz = 0;
  wn_status status;
  ridge *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  WN_TRY(wn_section_array(snapshot, section(cls, "head", name, sizeof name), sizeof m->head, 1,
                          &head, err));
  memcpy(&m->head, head, sizeof m->head);
  WN_TRY(check_head(m, err));
  WN_TRY(wn_section_offsets(snapshot, section(cls, "row_ptr", name, sizeof name), m->head.items,
                            &row_ptr, &nnz, err));
  WN_TRY(wn_section_indexes(snapshot, section(cls, "col", name, sizeof name), nnz, m->head.items,
                            &col, err));
  WN_TRY(wn_section_floats(snapshot, section(cls, "weight", name, sizeof name), nnz, &weight, err));
  m->row_ptr = row_ptr;
  m->col = col;
  m->weight = weight;
  *out = &m->base;
  m = NULL;
cleanup:
  if (m != NULL) ridge_free(&m->base);
  return status;
}

static wn_status map_ridge(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  return map_class(&wn_model_ridge, snapshot, out, err);
}

static wn_status map_ridge_seq(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  return map_class(&wn_model_ridge_seq, snapshot, out, err);
}

const wn_model_class wn_model_ridge = {
    .name = "ridge",
    .doc = "local ridge: each item explained by its nearest others (sparse EASE)",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_BY_NAME,
    .params = ridge_params,
    .params_len = sizeof ridge_params / sizeof *ridge_params,
    .fit = fit_ridge,
    .save = ridge_save,
    .map = map_ridge,
    .candidates = ridge_candidates,
    .score_all = ridge_score_all,
    .free = ridge_free,
};

const wn_model_class wn_model_ridge_seq = {
    .name = "ridge-seq",
    .doc = "local ridge on order: each item foretold by what came before it",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_BY_NAME,
    .params = ridge_seq_params,
    .params_len = sizeof ridge_seq_params / sizeof *ridge_seq_params,
    .fit = fit_ridge_seq,
    .save = ridge_save,
    .map = map_ridge_seq,
    .candidates = ridge_candidates,
    .score_all = ridge_score_all,
    .free = ridge_free,
};
