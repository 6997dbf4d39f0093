/* Item–item co-occurrence: who is looked at, bought or listed together.
 *
 * Source: co-visitation with gap decay and popularity normalisation as used in session-based
 * recommendation. For two items of one user's row, g steps apart,
 *     W[earlier][later] += m·m'·exp(−(g − 1)/tau),    W[later][earlier] += rho · the same,
 * S[i][j] = W[i][j] / (popᵢᵃ·popⱼᵇ), the `neighbours` best j kept for each i, and
 *     score(j) = Σᵢ √wᵢ·exp(−stepᵢ/tau_query)·S[i][j]^power
 * over the history's items i, newest step 0. An anchor's answer is its own row. covisit_fit.c sums
 * over a dataset; covisit_live.c adds each event after that, and the next query sees it.
 *
 * With `half_life_days` a pair counts 2^(−age/half-life), age from the later of its two entries.
 * Nothing is ever faded: a row holds 2^(time/half-life) in units of its own, powers of two that
 * move on with its newest pair (forward decay: Cormode, Shkapenyuk, Srivastava, Xu 2009), so that
 * no number overflows and a clock that ran ahead spoils only the rows that met it. Popularity does
 * not fade.
 *
 * Departure: the power. A plain sum is ruled by the one pair that was seen most; with a power below
 * 1 what several of the newest items agree on comes first, nearly as if their odds were multiplied.
 * By default it is .7 where there is an order, and .5 in dense data (as below); where there is
 * none, histories are long and all of their items count alike, so sums are right: 1.
 *
 * Where signals have levels (data/signals.h), each pair of levels has a W of its own: an item is a
 * row and a column for each level. A history item's own level counts in full and the others by
 * `cross`, a candidate's level l by lift^l (beside the power); an anchor's count alike. Levels
 * share popularity and the `neighbours` of a row.
 *
 * Departure: steps are counted in distinct times, not in events. Items that share a time are a
 * basket: they pair symmetrically at full weight and each brings m = √w·B^(−¼), B the basket's
 * size, so that a pair within one counts 1/√B. Data without times are the limit case (every row
 * one basket), and need no mode of their own.
 *
 * rho, a and b smooth: they lend a pair what others have where it was seen rarely. How much of that
 * is needed depends on how often an item is met, so that by default they follow n, the number of
 * users that an event's item has on average: up to n = 100 rho .3, a .5, b .2, from 400 on rho 0,
 * a .7, b .35, between them straight in log n.
 *
 * Bounds: the newest `row_max` items of a row count and gaps up to `window` steps. A snapshot holds
 * 8 bytes a kept neighbour, 12 to 16 an item; serving adds 16 an item and what events change.
 * Nothing is random. */
#include "model/covisit.h"
#include "model/query.h"
#include "model/section.h"

#include <string.h>

#define AHEAD           8    /* rows whose candidates are asked for before they are needed */
#define LINE            16   /* of 64 bytes: columns, or weights */
#define STEP_WEIGHT_MIN 1e-4 /* older history adds nothing that could be seen */

static const wn_param_spec covisit_params[] = {
    {"window", 20, 1, WN_COVISIT_WINDOW_MAX, "pairs at most so many steps apart count"},
    {"tau", 5, 0.01, 1e6, "steps over which a pair's weight falls to 1/e"},
    {"rho", -1, -1, 1, "weight of the way back in time; below 0: chosen from the data"},
    {"a", -1, -1, 2, "exponent of the source's popularity; below 0: chosen from the data"},
    {"b", -1, -1, 2, "exponent of the candidate's popularity; below 0: chosen from the data"},
    {"tau_query", 3, 0.01, 1e6, "steps over which a history item's weight falls to 1/e"},
    {"neighbours", 200, 1, WN_COVISIT_NEIGHBOURS_MAX, "kept for each item"},
    {"row_max", 500, 2, 1e6, "newest items of a user that count"},
    {"history_max", 100, 1, WN_HISTORY_MAX, "newest items of a query that count"},
    {"cross", 1, 0, 1, "weight of pairs whose source has another level than the history's item"},
    {"lift", 1, 0, 100, "factor for each level of the candidate above 0"},
    {"power", -1, -1, 2, "of a pair's strength in a score; below 0: chosen from the data"},
    {"half_life_days", 0, 0, 36500, "days after which a pair counts half; 0: never fades"},
};

/* The k-th least, k < n; reorders (Hoare's selection). */
static float select_least(float *x, size_t n, size_t k) {
  for (size_t lo = 0, hi = n - 1; lo < hi;) {
    float pivot = x[lo + (hi - lo) / 2];
    size_t i = lo, j = hi;
    for (;; i++, j--) {
      while (x[i] < pivot) i++;
      while (x[j] > pivot) j--;
      if (i >= j) break;
      float t = x[i];
      x[i] = x[j];
      x[j] = t;
    }
    if (k <= j)
      hi = j;
    else
      lo = j + 1;
  }
  return x[k];
}

wn_cut wn_covisit_cut(float *key, size_t n, uint32_t keep) {
  if (n <= keep) return (wn_cut){-INFINITY, 0};
  wn_cut cut = {select_least(key, n, n - keep), keep};
  for (size_t i = n - keep; i < n; i++) cut.equal -= key[i] > cut.floor;
  return cut;
}

static void covisit_free(wn_model *model) {
  wn_covisit *m = (wn_covisit *)model;
  wn_covisit_live_clear(&m->live);
  for (size_t i = 0; i < sizeof m->owned / sizeof *m->owned; i++) wn_free(m->owned[i]);
  wn_free(m);
}

/* ---- answering ---- */

/* Row i's changed form, or NULL: the snapshot's counts. */
static const wn_covisit_row *changed_row(const wn_covisit *m, uint32_t i) {
  uint32_t at = m->live.row_of[i];
  return at != 0 ? &m->live.rows.data[at - 1] : NULL;
}

static uint64_t row_len(const wn_covisit *m, uint32_t i) {
  const wn_covisit_row *row = changed_row(m, i);
  if (row != NULL) return row->len;
  return i < wn_covisit_rows(&m->head) ? m->row_ptr[i + 1] - m->row_ptr[i] : 0;
}

/* A row that a query asks for. */
typedef struct asked {
  uint32_t row;
  float factor;
  float unit; /* of the row's sums */
} asked;

/* What row a says of col's item: factor · strength^power; at most 0: nothing. */
static float said(const wn_covisit *m, uint32_t col, float strength, const asked *a,
                  const float *lift) {
  uint32_t bits = m->head.level_bits, level = (1u << bits) - 1;
  float power = (float)m->head.power, x = strength * m->live.target[col >> bits];
  if (!(x > 0)) return 0; /* faded out; x to the power of 0 would be 1 */
  if (power != 1) x = powf(x, power);
  return x * (a->factor * lift[col & level]);
}

static void add_cell(wn_accum *accum, const wn_covisit *m, uint32_t col, float strength,
                     const asked *a, const float *lift) {
  float x = said(m, col, strength, a, lift);
  if (x > 0) wn_accum_add(accum, col >> m->head.level_bits, x);
}

/* What said will read of a row's candidates. */
static void expect_cells(const wn_covisit *m, uint32_t i) {
  const wn_covisit_row *row = changed_row(m, i);
  uint32_t bits = m->head.level_bits;
  if (row != NULL) {
    for (uint32_t s = 0; s < row->slots; s++)
      if (row->cell[s].col != WN_NO_IX)
        __builtin_prefetch(&m->live.target[row->cell[s].col >> bits]);
  } else if (i < wn_covisit_rows(&m->head)) {
    for (uint64_t k = m->row_ptr[i]; k < m->row_ptr[i + 1]; k++)
      __builtin_prefetch(&m->live.target[m->col[k] >> bits]);
  }
}

/* accum += factor · S[row]^power; `lift`: by a candidate's level */
static void add_row(wn_accum *accum, const wn_covisit *m, asked a, const float *lift) {
  const wn_covisit_row *row = changed_row(m, a.row);
  float source = a.unit * m->live.source[a.row >> m->head.level_bits];
  if (row != NULL) {
    for (uint32_t s = 0; s < row->slots; s++) {
      wn_covisit_cell c = row->cell[s];
      if (c.col != WN_NO_IX && c.weight > 0) add_cell(accum, m, c.col, source * c.weight, &a, lift);
    }
  } else if (a.row < wn_covisit_rows(&m->head)) {
    for (uint64_t k = m->row_ptr[a.row]; k < m->row_ptr[a.row + 1]; k++)
      add_cell(accum, m, m->col[k], source * m->weight[k], &a, lift);
  }
}

static int32_t row_epoch(const wn_covisit *m, uint32_t i) {
  const wn_covisit_row *row = changed_row(m, i);
  if (row != NULL) return row->epoch;
  return m->epoch != NULL && i < wn_covisit_rows(&m->head) ? m->epoch[i] : 0;
}

/* The newest epoch among them. */
static int32_t newest_epoch(const wn_covisit *m, const asked *rows, size_t len) {
  int32_t newest = INT32_MIN;
  for (size_t i = 0; i < len; i++) {
    int32_t epoch = row_epoch(m, rows[i].row);
    if (epoch > newest) newest = epoch;
  }
  return newest;
}

/* What a unit of that epoch is worth at the time of the newest event. One clock that ran ahead must
 * not make everybody's scores vanish: order is what matters. */
static double worth_now(const wn_covisit *m, int32_t epoch) {
  if (!(m->head.half_life_ms > 0)) return 1;
  double exponent = WN_COVISIT_EPOCH * (double)epoch - m->live.now_ms / m->head.half_life_ms;
  return exp2(fmin(fmax(exponent, -2 * WN_COVISIT_EPOCH), WN_COVISIT_EPOCH));
}

/* The rows of an item: that of its level, and the others with `cross`; those that are empty are
 * left out. NO_LEVEL: all alike. */
#define NO_LEVEL UINT32_MAX
static size_t ask_item(const wn_covisit *m, wn_item_ix item, uint32_t level, double factor,
                       asked *out) {
  size_t n = 0;
  for (uint32_t l = 0; l < 1u << m->head.level_bits; l++) {
    uint32_t row = item << m->head.level_bits | l;
    double x = level == l || level == NO_LEVEL ? factor : factor * m->head.cross;
    if (x > 0 && row_len(m, row) > 0) out[n++] = (asked){row, (float)x, 1};
  }
  return n;
}

/* Where the rows of the history's items are, then all of these: two waits. */
static void expect_rows(const wn_covisit *m, const wn_positive *history, size_t len) {
  uint32_t bits = m->head.level_bits, fitted = wn_covisit_rows(&m->head);
  for (size_t i = 0; i < len; i++) {
    uint32_t row = history[i].item << bits;
    if (history[i].item >= m->live.items) continue;
    __builtin_prefetch(&m->live.row_of[row]);
    __builtin_prefetch(&m->live.source[history[i].item]);
    if (row < fitted) __builtin_prefetch(&m->row_ptr[row]);
  }
  for (size_t i = 0; i < len; i++) {
    uint32_t row = history[i].item < m->live.items ? history[i].item << bits : fitted;
    for (uint64_t k = row < fitted ? m->row_ptr[row] : 0; row < fitted && k < m->row_ptr[row + 1];
         k += LINE) {
      __builtin_prefetch(&m->col[k]);
      __builtin_prefetch(&m->weight[k]);
    }
  }
}

void wn_covisit_expect(const wn_covisit *m, const wn_positive *history, size_t len) {
  expect_rows(m, history, len);
  for (size_t i = 0; i < len; i++)
    if (history[i].item < m->live.items) expect_cells(m, history[i].item << m->head.level_bits);
}

static size_t ask_rows(const wn_covisit *m, const wn_query *query, wn_item_ix *without,
                       asked *out) {
  wn_positive history[WN_HISTORY_MAX];
  size_t n = 0, len = wn_query_positives(query, m->live.items, m->head.history_max, history);
  expect_rows(m, history, len);
  for (size_t i = 0; i < len; i++) {
    double decay = exp(-(double)history[i].step / m->head.tau_query);
    if (decay < STEP_WEIGHT_MIN) break;
    bool told = query->history_type != NULL;
    n += ask_item(m, history[i].item, told ? m->head.level_of[history[i].type] : NO_LEVEL,
                  sqrt((double)history[i].weight) * decay, out + n);
  }
  if (len > 0 || query->anchor >= m->live.items) return n;
  *without = query->anchor;
  return ask_item(m, query->anchor, NO_LEVEL, 1, out);
}

static void lifts(const wn_covisit *m, float lift[WN_SIGNAL_LEVEL_MAX + 1]) {
  lift[0] = 1;
  for (size_t l = 1; l <= WN_SIGNAL_LEVEL_MAX; l++) lift[l] = lift[l - 1] * (float)m->head.lift;
}

static wn_status covisit_ask(wn_ask *ask, const wn_model *model, const wn_query *query,
                             wn_arena *arena, wn_error *err) {
  const wn_covisit *m = (const wn_covisit *)model;
  asked rows[(WN_SIGNAL_LEVEL_MAX + 1) * WN_HISTORY_MAX];
  float lift[WN_SIGNAL_LEVEL_MAX + 1];
  size_t len = ask_rows(m, query, &ask->without, rows);
  uint64_t adds = 0;
  for (size_t i = 0; i < len; i++) adds += row_len(m, rows[i].row);
  if (adds == 0) return WN_OK;
  ask->any = true;
  if (!wn_accum_init(&ask->accum, m->live.items, (size_t)adds, arena)) return wn_fail_memory(err);
  lifts(m, lift);
  int32_t epoch = newest_epoch(m, rows, len);
  double worth = worth_now(m, epoch);
  for (size_t i = 0; i < len && i < AHEAD; i++) expect_cells(m, rows[i].row);
  for (size_t i = 0; i < len; i++) {
    if (i + AHEAD < len) expect_cells(m, rows[i + AHEAD].row);
    rows[i].unit = (float)worth * wn_covisit_fade(epoch - row_epoch(m, rows[i].row));
    add_row(&ask->accum, m, rows[i], lift);
  }
  return WN_OK;
}

bool wn_covisit_alone(const wn_covisit *m, const wn_query *query, size_t k, wn_scored *out,
                      size_t *count) {
  asked rows[WN_SIGNAL_LEVEL_MAX + 1];
  wn_positive item;
  float lift[WN_SIGNAL_LEVEL_MAX + 1];
  *count = 0;
  if (query->history_len != 1 || wn_query_positives(query, m->live.items, 1, &item) == 0)
    return false;
  size_t level = query->history_type != NULL ? m->head.level_of[item.type] : NO_LEVEL;
  size_t len = ask_item(m, item.item, (uint32_t)level, sqrt((double)item.weight), rows);
  if (len != 1 || m->head.level_bits > 0 || row_len(m, rows[0].row) > k) return false;
  const wn_covisit_row *row = changed_row(m, rows[0].row);
  int32_t epoch = row_epoch(m, rows[0].row);
  float source = (float)worth_now(m, epoch) * wn_covisit_fade(0) * m->live.source[item.item];
  uint64_t begin = row == NULL ? m->row_ptr[rows[0].row] : 0;
  uint64_t end = row != NULL ? row->slots : m->row_ptr[rows[0].row + 1];
  lifts(m, lift);
  for (uint64_t c = begin; c < end; c++) {
    uint32_t col = row != NULL ? row->cell[c].col : m->col[c];
    float weight = row != NULL ? row->cell[c].weight : m->weight[c];
    if (row != NULL && (col == WN_NO_IX || !(weight > 0))) continue;
    float x = said(m, col, source * weight, &rows[0], lift);
    if (x > 0 && wn_query_allows(query, col)) out[(*count)++] = (wn_scored){col, x};
  }
  return true;
}

void wn_covisit_pairs(const wn_covisit *m, wn_item_ix item, uint32_t from, wn_covisit_pair_fn *each,
                      void *ctx) {
  uint32_t bits = m->head.level_bits, mask = (1u << bits) - 1, i = item << bits | from;
  if (item >= m->live.items) return;
  const wn_covisit_row *row = changed_row(m, i);
  float source = (float)worth_now(m, row_epoch(m, i)) * m->live.source[item];
  uint64_t begin = row == NULL && row_len(m, i) > 0 ? m->row_ptr[i] : 0;
  uint64_t end = row != NULL ? row->slots : begin + row_len(m, i);
  for (uint64_t k = begin; k < end; k++) {
    uint32_t col = row != NULL ? row->cell[k].col : m->col[k];
    float weight = row != NULL ? row->cell[k].weight : m->weight[k];
    if (col == WN_NO_IX || !(weight > 0)) continue;
    float x = powf(source * weight * m->live.target[col >> bits], (float)m->head.power);
    each(ctx, col >> bits, col & mask, x);
  }
}

static wn_status covisit_candidates(const wn_model *model, const wn_query *query, size_t k,
                                    wn_scored *out, size_t *count, wn_error *err) {
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = wn_ask_top(covisit_ask, model, query, &top, err);
  *count = wn_topk_sort(&top);
  return status;
}

static wn_status covisit_score_all(const wn_model *model, const wn_query *query, float *scores,
                                   uint32_t items, wn_error *err) {
  return wn_ask_all(covisit_ask, model, query, scores, items, err);
}

/* ---- snapshots ---- */

/* What was fitted. What events added comes from the log again. */
static wn_status covisit_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const wn_covisit *m = (const wn_covisit *)model;
  uint64_t items = m->head.items, rows = wn_covisit_rows(&m->head), nnz = m->row_ptr[rows];
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, "covisit/head", &m->head, sizeof m->head, err));
  WN_TRY(wn_snapshot_write(writer, "covisit/row_ptr", m->row_ptr, (rows + 1) * sizeof *m->row_ptr,
                           err));
  WN_TRY(wn_snapshot_write(writer, "covisit/col", m->col, nnz * sizeof *m->col, err));
  WN_TRY(wn_snapshot_write(writer, "covisit/weight", m->weight, nnz * sizeof *m->weight, err));
  WN_TRY(wn_snapshot_write(writer, "covisit/count", m->count, items * sizeof *m->count, err));
  if (m->epoch != NULL)
    WN_TRY(wn_snapshot_write(writer, "covisit/epoch", m->epoch, rows * sizeof *m->epoch, err));
cleanup:
  return status;
}

static bool in_range(const char *name, double value) {
  for (size_t i = 0; i < wn_model_covisit.params_len; i++) {
    const wn_param_spec *spec = &wn_model_covisit.params[i];
    if (strcmp(spec->name, name) == 0) return value >= spec->min && value <= spec->max;
  }
  return false;
}

static wn_status check_head(const wn_covisit_head *h, wn_error *err) {
  if (h->version != 4) {
    return wn_fail(err, WN_E_CORRUPT, "covisit/head", "version %u, expected 4: train again",
                   h->version);
  }
  if (!in_range("history_max", h->history_max) || !in_range("neighbours", h->neighbours) ||
      !in_range("window", h->window) || !in_range("row_max", h->row_max) ||
      !in_range("tau_query", h->tau_query) || !in_range("tau", h->tau) ||
      !in_range("rho", h->rho) || !in_range("a", h->a) || !in_range("b", h->b) || h->rho < 0 ||
      h->a < 0 || h->b < 0 || !in_range("power", h->power) || h->power < 0 ||
      !in_range("cross", h->cross) || !in_range("lift", h->lift) || h->level_bits > 2 ||
      h->items > UINT32_MAX >> 2 || !in_range("half_life_days", h->half_life_ms / 86400000) ||
      !isfinite(h->now_ms)) {
    return wn_fail(err, WN_E_CORRUPT, "covisit/head", "parameters are out of range");
  }
  return WN_OK;
}

static wn_status check_rows(const wn_covisit *m, wn_error *err) {
  for (uint32_t i = 0; i < wn_covisit_rows(&m->head); i++) {
    if (m->row_ptr[i + 1] - m->row_ptr[i] > m->head.neighbours)
      return wn_fail(err, WN_E_CORRUPT, "covisit/row_ptr", "a row is longer than neighbours");
  }
  return WN_OK;
}

static wn_status check_epochs(const wn_covisit *m, wn_error *err) {
  for (uint32_t i = 0; i < wn_covisit_rows(&m->head); i++) {
    if (m->epoch[i] < -WN_COVISIT_EPOCHS_MAX || m->epoch[i] > WN_COVISIT_EPOCHS_MAX)
      return wn_fail(err, WN_E_CORRUPT, "covisit/epoch", "row %u is of no time", i);
  }
  return WN_OK;
}

static wn_status covisit_validate(const wn_model *model, wn_error *err) {
  const wn_covisit *m = (const wn_covisit *)model;
  wn_status status;
  WN_TRY(check_head(&m->head, err));
  WN_TRY(check_rows(m, err));
  WN_TRY(wn_check_finite("covisit/weight", m->weight, m->row_ptr[wn_covisit_rows(&m->head)], err));
  if (m->epoch != NULL) WN_TRY(check_epochs(m, err));
cleanup:
  return status;
}

static wn_status covisit_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  wn_covisit *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_covisit;
  const void *data = NULL;
  uint64_t nnz = 0;
  wn_status status;
  WN_TRY(wn_section_array(snapshot, "covisit/head", sizeof m->head, 1, &data, err));
  memcpy(&m->head, data, sizeof m->head);
  WN_TRY(check_head(&m->head, err));
  uint32_t rows = wn_covisit_rows(&m->head);
  WN_TRY(wn_section_offsets(snapshot, "covisit/row_ptr", rows, &m->row_ptr, &nnz, err));
  WN_TRY(wn_section_indexes(snapshot, "covisit/col", nnz, rows, &m->col, err));
  WN_TRY(wn_section_numbers(snapshot, "covisit/weight", nnz, &m->weight, err));
  WN_TRY(wn_section_array(snapshot, "covisit/count", sizeof *m->count, m->head.items, &data, err));
  m->count = data;
  if (m->head.half_life_ms > 0) {
    WN_TRY(wn_section_array(snapshot, "covisit/epoch", sizeof *m->epoch, rows, &data, err));
    m->epoch = data;
  }
  WN_TRY(covisit_validate(&m->base, err));
  WN_TRY(wn_history_map(snapshot, &m->live.history, err));
  WN_TRY(wn_covisit_live_init(m, err));
  *out = &m->base;
  m = NULL;
cleanup:
  if (m != NULL) covisit_free(&m->base);
  return status;
}

const wn_model_class wn_model_covisit = {
    .name = "covisit",
    .doc = "item-item co-occurrence with gap decay, learning from every event",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_LIVE,
    .params = covisit_params,
    .params_len = sizeof covisit_params / sizeof *covisit_params,
    .fit = wn_covisit_fit,
    .save = covisit_save,
    .map = covisit_map,
    .validate = covisit_validate,
    .candidates = covisit_candidates,
    .similar = wn_anchor_similar,
    .score_all = covisit_score_all,
    .update = wn_covisit_update,
    .forget = wn_covisit_forget,
    .bound = wn_covisit_bound,
    .bytes = wn_covisit_live_bytes,
    .shelf = wn_covisit_shelf,
    .free = covisit_free,
};
