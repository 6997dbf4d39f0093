/* What weights do (heads.h). Factors are drawn anew for each user and day, independent of each
 * other and of everything else, so plain regression has no bias: the slope of ln w is the effect of
 * a small change of that weight, all others as they are (linear in the logarithm, as far as the
 * spread reaches). A user's days hang together, which only the errors notice.
 *
 * Cost: a scan of the slates with their answers; 150 bytes a user and day. */
#include "lab/heads.h"

#include "base/map64.h"
#include "base/mem.h"
#include "funnel/perturb.h"
#include "store/answered.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS    86400000
#define USERS_MIN 30
#define SIZE      (WN_OBJECTIVES_MAX + 1)

/* --- least squares --- */

typedef double square[SIZE][SIZE];

/* In place, by Gauss and Jordan; false: singular. */
static bool invert(square a, size_t n) {
  square inverse = {{0}};
  for (size_t i = 0; i < n; i++) inverse[i][i] = 1;
  for (size_t c = 0; c < n; c++) {
    size_t pivot = c;
    for (size_t r = c + 1; r < n; r++)
      if (fabs(a[r][c]) > fabs(a[pivot][c])) pivot = r;
    if (!(fabs(a[pivot][c]) > 1e-12)) return false;
    for (size_t k = 0; k < n; k++) {
      double x = a[c][k], y = inverse[c][k];
      a[c][k] = a[pivot][k], inverse[c][k] = inverse[pivot][k];
      a[pivot][k] = x, inverse[pivot][k] = y;
    }
    double scale = a[c][c];
    for (size_t k = 0; k < n; k++) a[c][k] /= scale, inverse[c][k] /= scale;
    for (size_t r = 0; r < n; r++) {
      double times = r == c ? 0 : a[r][c];
      for (size_t k = 0; k < n; k++)
        a[r][k] -= times * a[c][k], inverse[r][k] -= times * inverse[c][k];
    }
  }
  memcpy(a, inverse, sizeof inverse);
  return true;
}

static double design(const wn_head_row *row, size_t i) {
  return i == 0 ? 1 : row->x[i - 1];
}

/* Σ over users of the outer product of Σ over days of x · residual. */
static void meat_of(const wn_heads *h, size_t outcome, const double *beta, square out) {
  size_t n = h->objectives.len + 1;
  double score[SIZE] = {0};
  memset(out, 0, sizeof(square));
  for (size_t r = 0; r < h->rows.len; r++) {
    const wn_head_row *row = &h->rows.data[r];
    double off = row->y[outcome];
    for (size_t i = 0; i < n; i++) off -= row->slates * beta[i] * design(row, i);
    for (size_t i = 0; i < n; i++) score[i] += off * design(row, i);
    if (r + 1 < h->rows.len && row[1].user == row->user) continue;
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++) out[i][j] += score[i] * score[j];
    memset(score, 0, sizeof score);
  }
}

static void estimate_one(wn_heads *h, size_t outcome, square bread) {
  size_t n = h->objectives.len + 1;
  double right[SIZE] = {0}, beta[SIZE] = {0}, users = (double)h->users;
  square meat;
  for (size_t r = 0; r < h->rows.len; r++)
    for (size_t i = 0; i < n; i++)
      right[i] += h->rows.data[r].y[outcome] * design(&h->rows.data[r], i);
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) beta[i] += bread[i][j] * right[j];
  meat_of(h, outcome, beta, meat);
  for (size_t k = 0; k + 1 < n; k++) {
    double variance = 0;
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++) variance += bread[k + 1][i] * meat[i][j] * bread[j][k + 1];
    h->effect[k][outcome] =
        (wn_head_effect){beta[k + 1], sqrt(fmax(variance, 0) * users / (users - 1))};
  }
}

static void count(wn_heads *h) {
  double slates = 0, successes[WN_OBJECTIVES_MAX] = {0};
  h->users = 0;
  for (size_t r = 0; r < h->rows.len; r++) {
    const wn_head_row *row = &h->rows.data[r];
    h->users += r == 0 || row[-1].user != row->user;
    slates += row->slates;
    for (size_t k = 0; k < h->objectives.len; k++) successes[k] += row->y[k];
  }
  h->slates = (uint64_t)slates;
  for (size_t k = 0; k < h->objectives.len; k++)
    h->mean[k] = slates > 0 ? successes[k] / slates : NAN;
}

void wn_heads_estimate(wn_heads *h) {
  square bread = {{0}};
  size_t n = h->objectives.len + 1;
  count(h);
  for (size_t k = 0; k < WN_OBJECTIVES_MAX; k++)
    for (size_t j = 0; j < WN_OBJECTIVES_MAX; j++) h->effect[k][j] = (wn_head_effect){NAN, NAN};
  for (size_t r = 0; r < h->rows.len; r++)
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++)
        bread[i][j] +=
            h->rows.data[r].slates * design(&h->rows.data[r], i) * design(&h->rows.data[r], j);
  if (h->users < USERS_MIN || !invert(bread, n)) return;
  for (size_t k = 0; k < h->objectives.len; k++) estimate_one(h, k, bread);
}

/* --- the log --- */

typedef struct reading {
  const wn_signals *signals;
  wn_heads *heads;
  wn_str surface;
  wn_map64 by_day; /* hash of user and day → row + 1 */
} reading;

/* Its factors; false: the slate is of other objectives. */
static bool factors_of(const wn_objectives *all, wn_str text, double x[WN_OBJECTIVES_MAX]) {
  wn_str name;
  double factor;
  size_t found = 0;
  while (wn_perturb_next(&text, &name, &factor))
    for (size_t k = 0; k < all->len; k++)
      if (wn_str_is(name, all->data[k].name)) {
        x[k] = log(factor);
        found++;
      }
  return found == all->len;
}

/* Is it a success? The value is taken as it is: of a rule that compares quantiles (`among`) the
 * event alone counts. */
static bool holds(const wn_objective *o, const char *type, double value) {
  if (o->among[0] == '\0') return wn_label_rule_holds(&o->rule, type, value);
  for (uint32_t t = 0; t < o->rule.terms; t++)
    if (strcmp(o->rule.term[t].type, type) == 0) return true;
  return false;
}

static uint8_t successes_of(const reading *r, const wn_slate_log *slate, uint32_t position,
                            const wn_answer *answers, size_t len) {
  const wn_objectives *all = &r->heads->objectives;
  uint8_t bits = 0;
  for (size_t a = 0; a < len; a++) {
    if (answers[a].position != position) continue;
    if (answers[a].type >= r->signals->len) continue;
    const char *name = r->signals->data[answers[a].type].name;
    for (size_t k = 0; k < all->len; k++) {
      int64_t within = all->data[k].rule.within_ms;
      if (answers[a].time_ms - slate->time_ms <= (within > 0 ? within : WN_LABEL_WITHIN_DEFAULT) &&
          holds(&all->data[k], name, answers[a].value))
        bits |= (uint8_t)(1u << k);
    }
  }
  return bits;
}

static wn_status take_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                            size_t len, wn_error *err) {
  reading *r = ctx;
  wn_head_row fresh = {.user = wn_hash64(slate->user_id.ptr, slate->user_id.len, 0)};
  if (slate->weights.len == 0 || slate->user_id.len == 0 ||
      !wn_str_equal(slate->surface, r->surface) ||
      !factors_of(&r->heads->objectives, slate->weights, fresh.x))
    return WN_OK;
  uint64_t *at =
      wn_map64_at(&r->by_day, wn_hash64(&fresh.user, 8, (uint64_t)(slate->time_ms / DAY_MS)));
  if (at == NULL || (*at == 0 && !wn_vec_push(&r->heads->rows, fresh))) return wn_fail_memory(err);
  if (*at == 0) *at = r->heads->rows.len;
  wn_head_row *row = &r->heads->rows.data[*at - 1];
  row->slates++;
  for (size_t i = 0; i < slate->len; i++) {
    uint8_t bits = successes_of(r, slate, (uint32_t)i + 1, answers, len);
    for (size_t k = 0; bits != 0 && k < r->heads->objectives.len; k++) row->y[k] += bits >> k & 1;
  }
  return WN_OK;
}

static int by_user(const void *left, const void *right) {
  const wn_head_row *a = left, *b = right;
  return (a->user > b->user) - (a->user < b->user);
}

wn_status wn_heads_read(wn_store *store, const wn_signals *signals, const wn_heads_ask *ask,
                        wn_heads *heads, wn_error *err) {
  reading r = {.signals = signals, .heads = heads, .surface = ask->surface};
  wn_answered_options how;
  wn_answered_options_defaults(&how);
  how.since_ms = ask->since_ms;
  for (size_t k = 0; k < heads->objectives.len; k++)
    if (heads->objectives.data[k].rule.within_ms > how.window_ms)
      how.window_ms = heads->objectives.data[k].rule.within_ms;
  wn_status status = wn_store_scan_answered(store, &how, take_slate, &r, err);
  wn_map64_clear(&r.by_day);
  if (status != WN_OK) return status;
  if (heads->rows.len > 0)
    qsort(heads->rows.data, heads->rows.len, sizeof *heads->rows.data, by_user);
  wn_heads_estimate(heads);
  return WN_OK;
}

void wn_heads_clear(wn_heads *heads) {
  wn_vec_clear(&heads->rows);
}
