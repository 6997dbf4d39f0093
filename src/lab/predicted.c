/* Predictions against what came true, in one pass over rows sorted by score, best first: areas from
 * running counts of both classes (ties as groups), sums for the rest. A resample is a count of how
 * often each user was drawn, and its pass weighs rows by that; views of slices are the same rows
 * picked out, in the same order, so one draw serves all of them and differences are paired.
 *
 * GAUC after Zhou et al. 2018 (Deep Interest Network): users' ROC-AUC weighted by their rows, users
 * of one class left out. Calibration: ECE over 10 cells of equal width (scored.h), and over 10 of
 * equal mass, because rare events crowd the first cell; Spiegelhalter 1986, z of Σ(y − p)(1 − 2p)
 * under "every p is true"; a cell of calibrated rows is off by sqrt(2/π · Σp(1 − p)) on average.
 *
 * Costs: n log n, then samples × rows × (1 + columns of slices). Memory: 24 bytes a row and column,
 * 4 a user and thread, 8 × metrics × samples a slice. A resample has a seed of its own and counts
 * are whole numbers: the same digits for any thread count. */
#include "lab/predicted.h"

#include "base/rng.h"
#include "base/special.h"
#include "lab/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CLIP 1e-15

static const char *const keys[] = {
#define X(name, key, label) key,
    WN_PREDICTED_METRICS_X(X)
#undef X
};
static const char *const labels[] = {
#define X(name, key, label) label,
    WN_PREDICTED_METRICS_X(X)
#undef X
};
const char *wn_predicted_key(wn_predicted_metric metric) {
  return keys[metric];
}
const char *wn_predicted_label(wn_predicted_metric metric) {
  return labels[metric];
}

typedef struct sorted {
  double score, loss;
  uint32_t unit;
  uint8_t label, cell, mass;
  bool last; /* of its group of equal scores */
} sorted;

typedef struct of_user {
  double auc, rows;
  uint32_t unit;
} of_user;

typedef struct view {
  sorted *rows;
  size_t len;
  WN_VEC(of_user) users; /* with both classes */
  double *resampled;     /* [samples × metrics] */
} view;

typedef struct job {
  const wn_predictions *in;
  const wn_predicted_options *options;
  wn_predicted_result *out;
  sorted *rows[1 + WN_PREDICTION_SLICES_MAX]; /* all, then by value of each column */
  WN_VEC(view) views;                         /* all, then as out->slices */
  size_t units;
  uint32_t *drawn; /* [threads × units] */
} job;

/* --- one pass --- */

typedef struct classes {
  double positives, negatives, wins, precision;
  double group[2]; /* of equal scores: negatives, positives */
} classes;

static void end_group(classes *c) {
  c->wins -= c->group[1] * (c->negatives + c->group[0] / 2); /* + positives · all negatives */
  c->positives += c->group[1];
  c->negatives += c->group[0];
  if (c->group[1] > 0) c->precision += c->group[1] * c->positives / (c->positives + c->negatives);
  c->group[0] = c->group[1] = 0;
}

static double auc_of(const classes *c) {
  double pairs = c->positives * c->negatives;
  return pairs > 0 ? (c->wins + pairs) / pairs : NAN;
}

typedef struct cells {
  double rows, said, was;
} cells;

static double gap_of(const cells *c, double all) {
  double sum = 0;
  for (size_t i = 0; i < WN_PREDICTED_CELLS; i++) sum += fabs(c[i].said - c[i].was);
  return sum / all;
}

static void add_to(cells *c, double w, const sorted *row) {
  c->rows += w;
  c->said += w * row->score;
  c->was += w * row->label;
}

static double gauc_of(const view *v, const uint32_t *count) {
  double sum = 0, weight = 0;
  for (size_t i = 0; i < v->users.len; i++) {
    const of_user *u = &v->users.data[i];
    double w = u->rows * (count != NULL ? count[u->unit] : 1);
    sum += w * u->auc;
    weight += w;
  }
  return weight > 0 ? sum / weight : NAN;
}

/* `count` of units; NULL: each once. */
static void measure(const view *v, const uint32_t *count, bool probabilities, double *out) {
  classes c = {0};
  cells width[WN_PREDICTED_CELLS] = {0}, mass[WN_PREDICTED_CELLS] = {0};
  double loss = 0, square = 0, said = 0;
  for (size_t i = 0; i < v->len; i++) {
    const sorted *row = &v->rows[i];
    double w = count != NULL ? count[row->unit] : 1, off = row->score - row->label;
    c.group[row->label] += w;
    if (row->last) end_group(&c);
    if (!probabilities) continue;
    loss += w * row->loss;
    square += w * off * off;
    said += w * row->score;
    add_to(&width[row->cell], w, row);
    add_to(&mass[row->mass], w, row);
  }
  double n = c.positives + c.negatives;
  for (int m = 0; m < WN_PREDICTED_METRICS; m++) out[m] = NAN;
  if (!(n > 0)) return;
  out[WN_PREDICTED_AUC] = auc_of(&c);
  out[WN_PREDICTED_GAUC] = gauc_of(v, count);
  if (c.positives > 0) out[WN_PREDICTED_PR_AUC] = c.precision / c.positives;
  if (!probabilities) return;
  out[WN_PREDICTED_LOG_LOSS] = loss / n;
  out[WN_PREDICTED_BRIER] = square / n;
  out[WN_PREDICTED_ECE] = gap_of(width, n);
  out[WN_PREDICTED_ECE_MASS] = gap_of(mass, n);
  if (c.positives > 0) out[WN_PREDICTED_RATIO] = said / c.positives;
}

/* --- views --- */

typedef struct keyed {
  double score;
  size_t row;
} keyed;

static int best_first(const void *a, const void *b) {
  const keyed *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return x->row < y->row ? -1 : x->row > y->row;
}

static sorted sorted_of(const job *j, const keyed *key, size_t rank) {
  const wn_prediction *p = &j->in->rows.data[key->row];
  double cut = fmin(1 - CLIP, fmax(CLIP, p->score));
  /* An edge belongs to the cell above it, also where p · cells rounds below it. */
  double cell = floor(p->score * WN_PREDICTED_CELLS + 1e-9);
  return (sorted){
      .score = p->score,
      .loss = -(p->label ? log(cut) : log1p(-cut)),
      .unit = j->in->users != NULL ? p->user : (uint32_t)key->row,
      .label = p->label,
      .cell = (uint8_t)fmax(0, fmin(WN_PREDICTED_CELLS - 1, cell)),
      .mass = (uint8_t)(WN_PREDICTED_CELLS - 1 - rank * WN_PREDICTED_CELLS / j->in->rows.len)};
}

static void mark_groups(sorted *rows, size_t n) {
  for (size_t i = 0; i < n; i++) rows[i].last = i + 1 == n || rows[i].score != rows[i + 1].score;
}

/* Equal scores stay in one cell of equal mass: the one where they begin. */
static void join_ties(sorted *rows, size_t n) {
  for (size_t i = 1; i < n; i++)
    if (rows[i].score == rows[i - 1].score) rows[i].mass = rows[i - 1].mass;
}

/* A stable counting sort by unit of a view's rows, then an area for each run. */
static wn_status find_users(const job *j, view *v, wn_error *err) {
  uint32_t *at = wn_calloc(j->units + 1, sizeof *at);
  uint32_t *by_unit = wn_malloc((v->len + 1) * sizeof *by_unit);
  wn_status status = at != NULL && by_unit != NULL ? WN_OK : wn_fail_memory(err);
  for (size_t i = 0; status == WN_OK && i < v->len; i++) at[v->rows[i].unit + 1]++;
  for (size_t u = 0; status == WN_OK && u < j->units; u++) at[u + 1] += at[u];
  for (size_t i = 0; status == WN_OK && i < v->len; i++)
    by_unit[at[v->rows[i].unit]++] = (uint32_t)i; /* at[u] becomes the end of u */
  for (size_t u = 0; status == WN_OK && u < j->units; u++) {
    classes c = {0};
    size_t begin = u > 0 ? at[u - 1] : 0, end = at[u];
    for (size_t i = begin; i < end; i++) {
      const sorted *row = &v->rows[by_unit[i]];
      c.group[row->label]++;
      if (i + 1 == end || v->rows[by_unit[i + 1]].score != row->score) end_group(&c);
    }
    if (c.positives > 0 && c.negatives > 0 &&
        !wn_vec_push(&v->users, ((of_user){auc_of(&c), (double)(end - begin), (uint32_t)u})))
      status = wn_fail_memory(err);
  }
  wn_free(at);
  wn_free(by_unit);
  return status;
}

static wn_status add_view(job *j, sorted *rows, size_t n, wn_error *err) {
  view v = {.rows = rows, .len = n};
  wn_status status = WN_OK;
  if (!wn_vec_push(&j->views, v)) return wn_fail_memory(err);
  view *at = &j->views.data[j->views.len - 1];
  mark_groups(rows, n);
  if (j->in->users != NULL) status = find_users(j, at, err);
  size_t samples = j->options->samples;
  if (status == WN_OK && samples > 1) {
    at->resampled = wn_reallocarray(NULL, samples * WN_PREDICTED_METRICS, sizeof(double));
    if (at->resampled == NULL) status = wn_fail_memory(err);
  }
  return status;
}

static wn_status view_all(job *j, size_t *row_of, wn_error *err) {
  size_t n = j->in->rows.len;
  keyed *order = wn_reallocarray(NULL, n, sizeof *order);
  sorted *rows = j->rows[0] = wn_reallocarray(NULL, n, sizeof *rows);
  if (order == NULL || rows == NULL) {
    wn_free(order);
    return wn_fail_memory(err);
  }
  for (size_t i = 0; i < n; i++) order[i] = (keyed){j->in->rows.data[i].score, i};
  qsort(order, n, sizeof *order, best_first);
  for (size_t i = 0; i < n; i++) {
    rows[i] = sorted_of(j, &order[i], i);
    row_of[i] = order[i].row;
  }
  wn_free(order);
  join_ties(rows, n);
  return add_view(j, rows, n, err);
}

/* --- slices --- */

typedef struct frequent {
  uint32_t value;
  uint64_t rows;
} frequent;

static int most_first(const void *a, const void *b) {
  const frequent *x = a, *y = b;
  if (x->rows != y->rows) return x->rows > y->rows ? -1 : 1;
  return x->value < y->value ? -1 : x->value > y->value;
}

/* The rows of one column by value, in order of the scores. */
static wn_status view_slices(job *j, size_t column, const size_t *row_of, wn_error *err) {
  const wn_prediction_slice *slice = &j->in->slices[column];
  size_t n = j->in->rows.len, values = wn_dict_count(slice->values), filled = 0;
  frequent *by = wn_calloc(values, sizeof *by);
  sorted *rows = j->rows[1 + column] = wn_reallocarray(NULL, n, sizeof *rows);
  wn_status status = by != NULL && rows != NULL ? WN_OK : wn_fail_memory(err);
  if (status == WN_OK) {
    for (size_t v = 0; v < values; v++) by[v].value = (uint32_t)v;
    for (size_t i = 0; i < n; i++) by[slice->rows.data[i]].rows++;
    qsort(by, values, sizeof *by, most_first);
  }
  for (size_t v = 0; status == WN_OK && v < values && v < WN_PREDICTED_VALUES_MAX; v++) {
    wn_predicted_slice s = {
        .by = slice->name, .name = wn_dict_key(slice->values, by[v].value), .rows = by[v].rows};
    size_t begin = filled;
    for (size_t i = 0; i < n; i++)
      if (slice->rows.data[row_of[i]] == by[v].value) {
        s.positives += j->rows[0][i].label;
        rows[filled++] = j->rows[0][i];
      }
    status = wn_vec_push(&j->out->slices, s) ? add_view(j, rows + begin, filled - begin, err)
                                             : wn_fail_memory(err);
  }
  wn_free(by);
  return status;
}

/* --- intervals --- */

static void resample(void *ctx, size_t begin, size_t end, int worker) {
  const job *j = ctx;
  uint32_t *count = j->drawn + (size_t)worker * j->units;
  for (size_t s = begin; s < end; s++) {
    wn_rng rng;
    wn_rng_seed(&rng, j->options->seed + s);
    memset(count, 0, j->units * sizeof *count);
    for (size_t u = 0; u < j->units; u++) count[wn_rng_below(&rng, j->units)]++;
    for (size_t v = 0; v < j->views.len; v++)
      measure(&j->views.data[v], count, j->out->probabilities,
              j->views.data[v].resampled + s * WN_PREDICTED_METRICS);
  }
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Percentiles; `room` of as many as there are samples. NaN for fewer than two units. */
static wn_interval interval_of(const job *j, const view *v, int m, double mean, double *room) {
  size_t n = 0;
  wn_interval out = {mean, NAN, NAN};
  for (size_t s = 0; v->resampled != NULL && j->units > 1 && s < j->options->samples; s++) {
    double x = v->resampled[s * WN_PREDICTED_METRICS + (size_t)m];
    if (!isnan(x)) room[n++] = x;
  }
  if (isnan(mean) || n < 2) return out;
  qsort(room, n, sizeof *room, ascending);
  out.low = room[(size_t)(0.025 * (double)(n - 1))];
  out.high = room[(size_t)ceil(0.975 * (double)(n - 1))];
  return out;
}

static double difference_p(const job *j, const view *slice, int m, double difference,
                           double *room) {
  const view *all = &j->views.data[0];
  size_t n = 0;
  for (size_t s = 0; slice->resampled != NULL && s < j->options->samples; s++) {
    size_t at = s * WN_PREDICTED_METRICS + (size_t)m;
    double d = slice->resampled[at] - all->resampled[at];
    if (!isnan(d)) room[n++] = d;
  }
  double se = sqrt(wn_moments_of(room, n).var);
  return n > 1 && se > 0 ? 2 * wn_normal_cdf(-fabs(difference) / se) : NAN;
}

static wn_status adjust(wn_predicted_result *out, wn_error *err) {
  size_t n = 0, len = out->slices.len;
  double *p = wn_reallocarray(NULL, 2 * len + 1, sizeof *p);
  if (p == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++)
    if (!isnan(out->slices.data[i].p)) p[n++] = out->slices.data[i].p;
  bool done = n == 0 || wn_adjust_p(WN_BENJAMINI_HOCHBERG, p, n, p + len);
  for (size_t i = 0, k = 0; done && i < len; i++)
    out->slices.data[i].p_adjusted = isnan(out->slices.data[i].p) ? NAN : p[len + k++];
  wn_free(p);
  return done ? WN_OK : wn_fail_memory(err);
}

static wn_status intervals(job *j, wn_error *err) {
  wn_predicted_result *out = j->out;
  size_t samples = j->options->samples;
  int m = out->probabilities ? WN_PREDICTED_LOG_LOSS : WN_PREDICTED_AUC;
  double *room = wn_reallocarray(NULL, samples + 1, sizeof *room), mean[WN_PREDICTED_METRICS];
  wn_pool *pool = wn_pool_create(j->options->threads);
  wn_status status = WN_OK;
  if (pool != NULL && samples > 1)
    j->drawn = wn_reallocarray(NULL, (size_t)wn_pool_threads(pool) * j->units, sizeof *j->drawn);
  if (room == NULL || pool == NULL || (samples > 1 && j->drawn == NULL))
    WN_TRY(wn_fail_memory(err));
  if (samples > 1) wn_pool_run(pool, samples, 1, resample, j);
  for (size_t v = 0; v < j->views.len; v++) {
    const view *of = &j->views.data[v];
    wn_predicted_slice *slice = v > 0 ? &out->slices.data[v - 1] : NULL;
    wn_interval *to = slice != NULL ? slice->value : out->value;
    measure(of, NULL, out->probabilities, mean);
    for (int k = 0; k < WN_PREDICTED_METRICS; k++) to[k] = interval_of(j, of, k, mean[k], room);
    if (slice != NULL) slice->p = difference_p(j, of, m, mean[m] - out->value[m].mean, room);
  }
  status = adjust(out, err);
cleanup:
  wn_free(room);
  if (pool != NULL) wn_pool_free(pool);
  return status;
}

/* --- calibration, baseline, guards --- */

static void calibration(const job *j) {
  wn_predicted_result *out = j->out;
  wn_predicted_cell *cell = out->cells;
  double sum = 0, spread = 0, noise[WN_PREDICTED_CELLS] = {0};
  for (size_t i = 0; i < j->in->rows.len; i++) {
    const sorted *r = &j->rows[0][i];
    double p = r->score, of = p * (1 - p);
    sum += (r->label - p) * (1 - 2 * p);
    spread += (1 - 2 * p) * (1 - 2 * p) * of;
    noise[r->mass] += of;
    cell[r->mass].rows++;
    cell[r->mass].said += p;
    cell[r->mass].was += r->label;
  }
  out->calibration_z = spread > 0 ? sum / sqrt(spread) : NAN;
  out->calibration_p = 2 * wn_normal_cdf(-fabs(out->calibration_z));
  for (size_t c = 0; c < WN_PREDICTED_CELLS; c++) {
    double rows = (double)cell[c].rows;
    out->ece_of_chance += sqrt(2 / M_PI * noise[c]) / (double)out->rows;
    if (cell[c].rows == 0) continue;
    wn_estimate was = wn_wilson(cell[c].was, rows, 0.05);
    out->cells[out->cells_len++] =
        (wn_predicted_cell){cell[c].rows, cell[c].said / rows, was.value, was.low, was.high};
  }
}

static void baseline(wn_predicted_result *out) {
  double rate = (double)out->positives / (double)out->rows;
  for (int m = 0; m < WN_PREDICTED_METRICS; m++) out->constant[m] = NAN;
  out->constant[WN_PREDICTED_AUC] = 0.5;
  if (out->users > 0) out->constant[WN_PREDICTED_GAUC] = 0.5;
  out->constant[WN_PREDICTED_PR_AUC] = rate;
  if (!out->probabilities) return;
  out->constant[WN_PREDICTED_LOG_LOSS] = -rate * log(rate) - (1 - rate) * log1p(-rate);
  out->constant[WN_PREDICTED_BRIER] = rate * (1 - rate);
  out->constant[WN_PREDICTED_ECE] = out->constant[WN_PREDICTED_ECE_MASS] = 0;
  out->constant[WN_PREDICTED_RATIO] = 1;
}

static wn_guard *add_guard(wn_predicted_result *out, const char *name, wn_guard_state state) {
  wn_guard *guard = &out->guards[out->guards_len++];
  guard->name = name;
  guard->state = state;
  return guard;
}

static void guards(wn_predicted_result *out) {
  uint64_t rare =
      out->positives < out->rows - out->positives ? out->positives : out->rows - out->positives;
  bool few = rare < 100 || (out->users > 0 && out->users < 100);
  wn_guard *g = add_guard(out, "population", few ? WN_GUARD_WARN : WN_GUARD_PASS);
  int len = snprintf(g->reason, sizeof g->reason, "%llu rows, the rarer class has %llu",
                     (unsigned long long)out->rows, (unsigned long long)rare);
  if (out->users > 0)
    snprintf(g->reason + len, sizeof g->reason - (size_t)len, ", %llu users%s",
             (unsigned long long)out->users,
             out->users < 2 ? ": no interval can be given"
             : few          ? ": 100 of each at least"
                            : "");
  else
    snprintf(g->reason + len, sizeof g->reason - (size_t)len,
             "; no column `user`: rows are taken for independent");
  const wn_interval *auc = &out->value[WN_PREDICTED_AUC];
  g = add_guard(out, "orders better than chance",
                auc->low > 0.5    ? WN_GUARD_PASS
                : auc->high < 0.5 ? WN_GUARD_FAIL
                                  : WN_GUARD_WARN);
  snprintf(g->reason, sizeof g->reason, "ROC-AUC %.4f (%.4f to %.4f)", auc->mean, auc->low,
           auc->high);
  if (!out->probabilities) return;
  const wn_interval *loss = &out->value[WN_PREDICTED_LOG_LOSS];
  double constant = out->constant[WN_PREDICTED_LOG_LOSS];
  g = add_guard(out, "beats the base rate",
                loss->high < constant  ? WN_GUARD_PASS
                : loss->low > constant ? WN_GUARD_FAIL
                                       : WN_GUARD_WARN);
  snprintf(g->reason, sizeof g->reason,
           "log loss %.5f (%.5f to %.5f), of the base rate for everybody %.5f", loss->mean,
           loss->low, loss->high, constant);
  g = add_guard(out, "calibrated", out->calibration_p < 0.01 ? WN_GUARD_WARN : WN_GUARD_PASS);
  snprintf(g->reason, sizeof g->reason,
           "Spiegelhalter's z %+.2f (p %.2g); ECE of equal mass %.4f, by chance alone %.4f; sum of "
           "p / sum of y %.4f",
           out->calibration_z, out->calibration_p, out->value[WN_PREDICTED_ECE_MASS].mean,
           out->ece_of_chance, out->value[WN_PREDICTED_RATIO].mean);
}

static void clear(job *j) {
  for (size_t i = 0; i < sizeof j->rows / sizeof *j->rows; i++) wn_free(j->rows[i]);
  for (size_t v = 0; v < j->views.len; v++) {
    wn_vec_clear(&j->views.data[v].users);
    wn_free(j->views.data[v].resampled);
  }
  wn_vec_clear(&j->views);
  wn_free(j->drawn);
}

wn_status wn_predicted(const wn_predictions *in, const wn_predicted_options *options,
                       wn_predicted_result *out, wn_error *err) {
  job j = {.in = in, .options = options, .out = out};
  size_t *row_of = NULL;
  wn_status status = WN_OK;
  *out = (wn_predicted_result){.rows = in->rows.len,
                               .users = in->users != NULL ? wn_dict_count(in->users) : 0,
                               .probabilities = in->probabilities,
                               .samples = options->samples};
  for (size_t i = 0; i < in->rows.len; i++) out->positives += in->rows.data[i].label;
  if (out->positives == 0 || out->positives == out->rows)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "label",
                   "all %zu rows are of class %d: there is nothing to tell apart", in->rows.len,
                   out->positives > 0));
  j.units = (size_t)(out->users > 0 ? out->users : out->rows);
  row_of = wn_reallocarray(NULL, in->rows.len, sizeof *row_of);
  if (row_of == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(view_all(&j, row_of, err));
  for (size_t c = 0; c < in->slices_len; c++) WN_TRY(view_slices(&j, c, row_of, err));
  out->users_ranked = j.views.data[0].users.len;
  WN_TRY(intervals(&j, err));
  baseline(out);
  if (out->probabilities) calibration(&j);
  guards(out);
cleanup:
  clear(&j);
  wn_free(row_of);
  if (status != WN_OK) wn_predicted_clear(out);
  return status;
}

void wn_predicted_clear(wn_predicted_result *result) {
  wn_vec_clear(&result->slices);
  *result = (wn_predicted_result){0};
}
