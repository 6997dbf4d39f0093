/* Local ridge as a model: sparse EASE (ridge: what is liked together) and its ordered sibling
 * (ridge-seq: what comes next). ridge_rows.c and ridge_fit.c have sources, formulas and costs of
 * the fit. Scores are a history's weighted sum of rows, so that folding in a user never seen costs
 * nothing: score(j) = Σᵢ wᵢ^power·aᵢ·W[i][j], aᵢ = 1, or exp(−stepᵢ/tau_query − hoursᵢ/hours) for
 * ridge-seq with steps and hours counted from the newest item. An anchor's answer is its
 * own row. Only positive sums are answers. 8 bytes a weight, at most k an item, 8 an item.
 * Deterministic; nothing is random. */
#include "model/ridge_live.h"

#include "base/mem.h"
#include "model/query.h"

#include <math.h>

#define EFFORT      1024
#define HOUR_MS     3.6e6
#define HISTORY_MAX 1000000

static const wn_param_spec ridge_params[] = {
    {"lambda", 10, 0.001, 1e6, "ridge"},
    {"dropout", 0.33, 0, 0.99,
     "part of a row's sources that could as well be missing: ridge in proportion"},
    {"k", 128, 1, WN_RIDGE_K_MAX, "sources of each item at most"},
    {"user_exponent", 0.25, 0, 1, "users count by their number of items to minus twice this power"},
    {"power", 0.5, 0, 1, "a value is the interaction's weight to this power"},
    {"row_max", 1000, 2, 1e6, "newest items of a user that count"},
    {"history_max", 1000, 1, WN_RIDGE_HISTORY_MAX, "newest items of a query that count"},
    {"refresh", 0.05, 0, 1e6, "an item is solved again when this part of its counts has moved"},
    {"effort", EFFORT, 0, 1e9, "additions that an event may cost for that; 0: never"},
};

static const wn_param_spec ridge_seq_params[] = {
    {"lambda", 200, 0.001, 1e6, "ridge"},
    {"dropout", 0, 0, 0.99,
     "part of a row's sources that could as well be missing: ridge in proportion"},
    {"k", 128, 1, WN_RIDGE_K_MAX, "sources of each item at most"},
    {"tau", 4, 0.01, 1e6, "steps over which a source's weight falls to 1/e"},
    {"hours", 0, 0, 1e6, "hours over which it does so as well; 0: steps alone"},
    {"tau_query", 3, 0.01, 1e6, "steps over which a history item's weight falls to 1/e"},
    {"user_exponent", 0, 0, 1, "users count by their number of items to minus twice this power"},
    {"power", 0.5, 0, 1, "a value is the interaction's weight to this power"},
    {"row_max", 1000, 2, 1e6, "newest items of a user that count"},
    {"history_max", 1000, 1, WN_RIDGE_HISTORY_MAX, "newest items of a query that count"},
    {"refresh", 0.05, 0, 1e6, "an item is solved again when this part of its counts has moved"},
    {"effort", EFFORT, 0, 1e9, "additions that an event may cost for that; 0: never"},
};

void wn_ridge_free(wn_model *model) {
  wn_ridge *m = (wn_ridge *)model;
  wn_ridge_live_free(m->live);
  wn_ridge_rows_clear(&m->rows);
  wn_ridge_weights_clear(&m->owned);
  wn_free(m);
}

static wn_ridge_head_section head_of(const wn_model_class *cls, const wn_params *params) {
  wn_ridge_rule rule = {.power = wn_param(cls, params, "power"),
                        .user_exponent = wn_param(cls, params, "user_exponent"),
                        .row_max = (uint32_t)wn_param(cls, params, "row_max"),
                        .ordered = cls == &wn_model_ridge_seq};
  wn_ridge_head_section head = {.version = 2,
                                .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                                .k = (uint32_t)wn_param(cls, params, "k"),
                                .penalty = {.lambda = wn_param(cls, params, "lambda"),
                                            .dropout = wn_param(cls, params, "dropout")},
                                .refresh = wn_param(cls, params, "refresh"),
                                .effort = wn_param(cls, params, "effort")};
  if (rule.ordered) {
    rule.tau = wn_param(cls, params, "tau");
    rule.hours = wn_param(cls, params, "hours");
    head.tau_query = wn_param(cls, params, "tau_query");
  }
  head.rule = rule;
  return head;
}

static wn_status fit_class(const wn_model_class *cls, const wn_dataset *data,
                           const wn_params *params, const wn_fit_env *env, wn_model **out,
                           wn_error *err) {
  wn_ridge *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  m->head = head_of(cls, params);
  wn_ridge_solve_options solve = {.stage = cls->name, .k = m->head.k, .penalty = m->head.penalty};
  wn_status status;
  WN_TRY(wn_ridge_rows_build(data, &m->head.rule, &m->rows, err));
  WN_TRY(wn_ridge_solve(&m->rows, &solve, env, &m->owned, err));
  m->head.users = m->rows.users;
  m->head.items = m->rows.items;
  m->head.scale = m->rows.scale;
  m->row_ptr = m->owned.row_ptr;
  m->col = m->owned.col;
  m->weight = m->owned.weight;
  m->diagonal = m->owned.diagonal;
  m->mass = m->owned.mass;
  *out = &m->base;
  m = NULL;
cleanup:
  if (m != NULL) wn_ridge_free(&m->base);
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

/* ---- events ---- */

static bool start(wn_ridge *m) {
  if (m->live != NULL) return true;
  wn_ridge_live_options options = {.k = m->head.k,
                                   .penalty = m->head.penalty,
                                   .threshold = m->head.refresh,
                                   .effort = (int64_t)m->head.effort,
                                   .diagonal = m->diagonal,
                                   .mass = m->mass};
  m->live = m->stopped ? NULL : wn_ridge_live_create(&m->rows, &options);
  return m->live != NULL;
}

static size_t ridge_bytes(const wn_model *model) {
  const wn_ridge *m = (const wn_ridge *)model;
  return m->live != NULL ? wn_ridge_live_bytes(m->live) : 0;
}

static void ridge_bound(wn_model *model, const char *dir WN_UNUSED, size_t bytes_max) {
  ((wn_ridge *)model)->bytes_max = bytes_max;
}

/* Solving a target walks the rows of all who have it: they must be in memory. So what no longer
 * fits waits for the next training; which events that are follows from the log alone. */
static bool full(const wn_ridge *m) {
  return m->bytes_max > 0 && ridge_bytes(&m->base) > m->bytes_max;
}

static void ridge_update(wn_model *model, const wn_event *event, float weight) {
  wn_ridge *m = (wn_ridge *)model;
  if (weight == 0 || !isfinite(weight) || event->item == WN_NO_IX || event->user == WN_NO_IX)
    return;
  if (!start(m) || full(m)) return;
  if (!wn_ridge_live_know(m->live, event->user + 1, event->item + 1)) return;
  wn_ridge_live_change(m->live, event, weight);
  wn_ridge_live_work(m->live);
}

static void ridge_forget(wn_model *model, wn_user_ix user) {
  wn_ridge *m = (wn_ridge *)model;
  if (start(m)) {
    wn_ridge_live_forget(m->live, user);
  } else {
    m->stopped = true;
  }
}

/* ---- answering ---- */

static uint32_t known_items(const wn_ridge *m) {
  return m->live != NULL ? m->live->rows.items : m->head.items;
}

/* The history's positive entries one by one: evaluation brings longer ones than fit on a stack. */
typedef struct walk {
  const wn_history_entry *entry;
  size_t at, taken;
  uint32_t step; /* distinct times of newer entries */
  int64_t newest;
} walk;

static bool walk_next(walk *w, const wn_ridge *m, const wn_query *query) {
  for (; w->taken < m->head.history_max && w->at < query->history_len; w->at++) {
    const wn_history_entry *h = &query->history[w->at];
    if (h->item >= known_items(m) || !(h->weight > 0) || !isfinite(h->weight)) continue;
    if (w->taken == 0) w->newest = h->time_ms;
    w->step += w->taken > 0 && h->time_ms != w->entry->time_ms;
    w->entry = h;
    w->taken++;
    w->at++;
    return true;
  }
  return false;
}

static float entry_weight(const wn_ridge_head_section *head, const walk *w) {
  double x = pow((double)w->entry->weight, head->rule.power);
  if (head->tau_query > 0) {
    double gone = w->step / head->tau_query;
    double age_ms = (double)w->newest - (double)w->entry->time_ms;
    if (head->rule.hours > 0 && age_ms > 0) gone += age_ms / HOUR_MS / head->rule.hours;
    x *= exp(-gone);
  }
  return (float)x;
}

static const wn_ridge_solved *solved(const wn_ridge *m, wn_item_ix item) {
  return m->live != NULL ? wn_ridge_live_solved(m->live, item) : NULL;
}

static uint64_t row_len(const wn_ridge *m, wn_item_ix item) {
  const wn_ridge_solved *s = solved(m, item);
  uint64_t len = s != NULL ? s->len : 0;
  return len + (item < m->head.items ? m->row_ptr[item + 1] - m->row_ptr[item] : 0);
}

/* The fit's weights on targets that were not solved since, and the new ones on those that were. */
static void add_row(const wn_ridge *m, wn_item_ix item, float factor, wn_accum *accum) {
  const wn_ridge_solved *s = solved(m, item);
  for (uint32_t k = 0; s != NULL && k < s->len; k++)
    wn_accum_add(accum, s->weight[k].ix, factor * s->weight[k].value);
  if (item >= m->head.items) return;
  for (uint64_t k = m->row_ptr[item]; k < m->row_ptr[item + 1]; k++) {
    s = solved(m, m->col[k]);
    if (s == NULL || !s->is) wn_accum_add(accum, m->col[k], factor * m->weight[k]);
  }
}

static wn_status ridge_ask(wn_ask *ask, const wn_model *model, const wn_query *query,
                           wn_arena *arena, wn_error *err) {
  const wn_ridge *m = (const wn_ridge *)model;
  uint64_t adds = 0;
  walk w = {0};
  while (walk_next(&w, m, query)) adds += row_len(m, w.entry->item);
  bool personal = w.taken > 0;
  if (!personal && query->anchor < known_items(m)) {
    ask->without = query->anchor;
    adds = row_len(m, query->anchor);
  }
  if (adds == 0) return WN_OK;
  ask->any = true;
  if (!wn_accum_init(&ask->accum, known_items(m), (size_t)adds, arena)) return wn_fail_memory(err);
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

static wn_status map_ridge(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  return wn_ridge_map(&wn_model_ridge, snapshot, out, err);
}

static wn_status map_ridge_seq(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  return wn_ridge_map(&wn_model_ridge_seq, snapshot, out, err);
}

const wn_model_class wn_model_ridge = {
    .name = "ridge",
    .doc = "local ridge: each item explained by its nearest others (sparse EASE)",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_LIVE | WN_MODEL_BY_NAME,
    .params = ridge_params,
    .params_len = sizeof ridge_params / sizeof *ridge_params,
    .fit = fit_ridge,
    .save = wn_ridge_save,
    .validate = wn_ridge_validate,
    .map = map_ridge,
    .candidates = ridge_candidates,
    .similar = wn_anchor_similar,
    .score_all = ridge_score_all,
    .update = ridge_update,
    .forget = ridge_forget,
    .bound = ridge_bound,
    .bytes = ridge_bytes,
    .free = wn_ridge_free,
};

const wn_model_class wn_model_ridge_seq = {
    .name = "ridge-seq",
    .doc = "local ridge on order: each item foretold by what came before it",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_LIVE | WN_MODEL_BY_NAME,
    .params = ridge_seq_params,
    .params_len = sizeof ridge_seq_params / sizeof *ridge_seq_params,
    .fit = fit_ridge_seq,
    .save = wn_ridge_save,
    .validate = wn_ridge_validate,
    .map = map_ridge_seq,
    .candidates = ridge_candidates,
    .similar = wn_anchor_similar,
    .score_all = ridge_score_all,
    .update = ridge_update,
    .forget = ridge_forget,
    .bound = ridge_bound,
    .bytes = ridge_bytes,
    .free = wn_ridge_free,
};
