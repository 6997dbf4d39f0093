/* Features computed from the future, and propensities that cannot be.
 *
 * A feature is compared by Spearman's rank correlation, so that a logarithm, a share or a rank of a
 * count is found out like the count itself, over the rows whose statistic differs between train and
 * everything (elsewhere both fit alike). Propensities: for any policy and any items a, E[1{A = a} /
 * p(a)] = 1 wherever a can be shown, so of each item at each position the mean of 1{A = a}/p over
 * the rows of the position is 1 within its standard error. */
#include "lab/audit_internal.h"

#include "base/mem.h"
#include "lab/stats.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLLOWS  0.9 /* rank correlation from which a feature counts as a copy of a statistic */
#define MARGIN   1e-6
#define ROWS_MIN 20 /* rows that differ, or rows of a cell, to say anything */
#define SIGMAS   6  /* of some thousand cells by chance one in 10^5 audits */
#define RELATIVE 0.1
/* A share of wrong cells up to here may be heavy tails: where a probability was tiny for a while,
 * its great weights are missing from most logs (Open Bandit's Thompson log: 1 cell of 71). */
#define CELLS_WRONG 0.05

/* --- features --- */

enum { COUNT, DISTINCT, MEAN, STATISTICS };
static const char *const statistic_names[STATISTICS] = {"number of events", "number of partners",
                                                        "mean value"};

typedef struct pair {
  uint32_t row, partner;
} pair;

static int by_pair(const void *a, const void *b) {
  const pair *x = a, *y = b;
  if (x->row != y->row) return x->row < y->row ? -1 : 1;
  return (x->partner > y->partner) - (x->partner < y->partner);
}

/* value[STATISTICS][len] of the events of the first `sides` sides. */
static bool statistics(const wn_audit_sides *s, int sides, const wn_audit_feature *f,
                       double *const value[STATISTICS]) {
  const wn_event_list lists[2] = {s->train, s->test};
  size_t total = s->train.len + (sides > 1 ? s->test.len : 0), n = 0;
  pair *pairs = wn_reallocarray(NULL, total + 1, sizeof *pairs);
  double *labelled = wn_calloc((size_t)f->len + 1, sizeof *labelled);
  bool done = pairs != NULL && labelled != NULL;
  for (int k = 0; k < STATISTICS; k++) memset(value[k], 0, f->len * sizeof(double));
  for (int side = 0; done && side < sides; side++)
    for (size_t i = 0; i < lists[side].len; i++) {
      const wn_event *e = &lists[side].data[i];
      uint32_t row = f->of_users ? e->user : e->item;
      if (row >= f->len) continue;
      pairs[n++] = (pair){row, f->of_users ? e->item : e->user};
      value[COUNT][row]++;
      if (isnan(e->value)) continue;
      value[MEAN][row] += (double)e->value;
      labelled[row]++;
    }
  if (done) qsort(pairs, n, sizeof *pairs, by_pair);
  for (size_t i = 0; done && i < n; i++)
    value[DISTINCT][pairs[i].row] += i == 0 || by_pair(&pairs[i], &pairs[i - 1]) != 0;
  for (uint32_t r = 0; done && r < f->len; r++)
    value[MEAN][r] = labelled[r] > 0 ? value[MEAN][r] / labelled[r] : NAN;
  wn_free(pairs);
  wn_free(labelled);
  return done;
}

typedef struct likeness {
  double train, whole; /* |rank correlation| with the feature */
  uint64_t rows;       /* where the two statistics differ */
} likeness;

/* `x`: room for 3 × len. */
static likeness compare(const wn_audit_feature *f, const double *train, const double *whole,
                        double *x) {
  likeness out = {0, 0, 0};
  size_t n = 0;
  double *a = x + f->len, *b = a + f->len;
  for (uint32_t r = 0; r < f->len; r++) {
    if (isnan(f->value[r]) || isnan(whole[r])) continue;
    double before = isnan(train[r]) ? 0 : train[r];
    if (before == whole[r]) continue;
    x[n] = f->value[r];
    a[n] = before;
    b[n++] = whole[r];
  }
  out.rows = n;
  if (n < ROWS_MIN) return out;
  out.train = fabs(wn_spearman(x, a, n));
  out.whole = fabs(wn_spearman(x, b, n));
  return out;
}

wn_status wn_audit_feature_of(const wn_audit_sides *s, const wn_audit_feature *f, wn_audit *out,
                              wn_error *err) {
  size_t len = f->len;
  double *room = wn_reallocarray(NULL, (2 * STATISTICS + 3) * len + 1, sizeof *room);
  double *train[STATISTICS], *whole[STATISTICS];
  likeness worst = {0, 0, 0};
  int of = COUNT;
  char name[64];
  if (room == NULL) return wn_fail_memory(err);
  for (int k = 0; k < STATISTICS; k++) {
    train[k] = room + (size_t)k * len;
    whole[k] = room + (size_t)(STATISTICS + k) * len;
  }
  bool done = statistics(s, 1, f, train) && statistics(s, 2, f, whole);
  for (int k = 0; done && k < STATISTICS; k++) {
    likeness l = compare(f, train[k], whole[k], room + 2 * STATISTICS * len);
    if (isnan(l.whole) || l.whole <= worst.whole) continue;
    worst = l;
    of = k;
  }
  wn_free(room);
  if (!done) return wn_fail_memory(err);
  bool leaks = worst.whole > FOLLOWS && worst.whole > worst.train + MARGIN;
  snprintf(name, sizeof name, "feature %.50s", f->name);
  if (worst.rows < ROWS_MIN)
    wn_audit_add(out, name, WN_GUARD_PASS, (uint64_t[]){0, worst.rows},
                 "too few %s change between train and everything to tell",
                 f->of_users ? "users" : "items");
  else
    wn_audit_add(out, name, leaks ? WN_GUARD_FAIL : WN_GUARD_PASS,
                 (uint64_t[]){leaks ? worst.rows : 0, worst.rows},
                 "rank correlation with the %s of everything %.4f, of train alone %.4f%s",
                 statistic_names[of], worst.whole, worst.train,
                 leaks ? ": it was computed with the test part" : "");
  return WN_OK;
}

/* --- propensities --- */

typedef struct cell {
  double sum, squares;
  uint64_t rows;
} cell;

typedef struct weights_seen {
  size_t checked, wrong;
  double z, mean; /* of the worst cell */
  uint32_t item, position;
} weights_seen;

/* Each cell's mean weight against 1; `at_most`: below 1 is in order. */
static weights_seen judge_cells(const cell *all, const uint64_t *rows, const size_t shape[2],
                                bool at_most) {
  weights_seen out = {.mean = 1};
  size_t items = shape[1];
  for (size_t i = 0; i < shape[0] * items; i++) {
    double n = (double)rows[i / items], mean = all[i].sum / n;
    if (all[i].rows < ROWS_MIN) continue;
    double se = sqrt(fmax(all[i].squares / n - mean * mean, 0) / n);
    double z = se > 0 ? (mean - 1) / se : mean == 1 ? 0 : mean > 1 ? INFINITY : -INFINITY;
    bool off = (at_most ? z : fabs(z)) > SIGMAS && fabs(mean - 1) > RELATIVE;
    out.checked++;
    out.wrong += off;
    if (!off || fabs(z) <= out.z) continue;
    out.z = fabs(z);
    out.mean = mean;
    out.item = (uint32_t)(i % items);
    out.position = (uint32_t)(i / items);
  }
  return out;
}

static void tell_weights(const weights_seen *w, const wn_logged *log, const char *of, bool at_most,
                         wn_audit *out) {
  wn_str name = wn_dict_key(log->items, w->item);
  bool many = (double)w->wrong > CELLS_WRONG * (double)w->checked;
  const uint64_t counts[] = {w->wrong, w->checked};
  if (w->wrong > 0)
    wn_audit_add(out, "propensities", many ? WN_GUARD_FAIL : WN_GUARD_WARN, counts,
                 "%s%zu of %zu items' weights do not average 1%s: item %.*s at position %" PRIu32
                 " has %.3f (%.0f standard errors off): %s",
                 of, w->wrong, w->checked, at_most ? " or less" : "",
                 (int)(name.len > 60 ? 60 : name.len), name.ptr, w->position + 1, w->mean, w->z,
                 many ? "the logged propensities are not those of the policy that showed them"
                      : "propensities that are wrong there, or so small that they seldom come up");
  else
    wn_audit_add(out, "propensities", w->checked > 0 ? WN_GUARD_PASS : WN_GUARD_WARN, counts,
                 "%s%s%s", of,
                 w->checked > 0 ? "the weights of each item at each position average 1"
                                : "no item was shown often enough at one position to tell",
                 w->checked > 0 && at_most ? " or less" : "");
}

wn_status wn_audit_propensities(const wn_logged *log, const char *of, bool at_most, wn_audit *out,
                                wn_error *err) {
  size_t items = wn_dict_count(log->items);
  cell *all = wn_calloc(items * log->positions + 1, sizeof *all);
  uint64_t *rows = wn_calloc((size_t)log->positions + 1, sizeof *rows);
  wn_status status = all != NULL && rows != NULL ? WN_OK : wn_fail_memory(err);
  for (size_t i = 0; status == WN_OK && i < log->rows.len; i++) {
    const wn_logged_row *r = &log->rows.data[i];
    cell *c = &all[(size_t)r->position * items + r->item];
    rows[r->position]++;
    c->rows++;
    c->sum += 1 / r->p_log;
    c->squares += 1 / r->p_log / r->p_log;
  }
  if (status == WN_OK) {
    weights_seen seen = judge_cells(all, rows, (size_t[]){log->positions, items}, at_most);
    tell_weights(&seen, log, of, at_most, out);
  }
  wn_free(all);
  wn_free(rows);
  return status;
}
