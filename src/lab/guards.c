/* What an evaluation says of itself: each guard is a fact that must hold for the table to be
 * believed, checked on this run's own numbers. */
#include "lab/evaluate_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define SIGMAS    4 /* a fair difference is beyond in one run of 16,000 */
#define Z95       1.96
#define FEW_HITS  10 /* in sum over all users */
#define FEW_LISTS 20 /* no list for more than one user in so many is told */

static void guard(wn_evaluation *e, const char *name, wn_guard_state state, const char *format, ...)
    WN_PRINTF(4, 5);

static void guard(wn_evaluation *e, const char *name, wn_guard_state state, const char *format,
                  ...) {
  va_list args;
  if (e->guards_len == WN_GUARDS_MAX) return;
  wn_guard *g = &e->guards[e->guards_len++];
  g->name = name;
  g->state = state;
  va_start(args, format);
  vsnprintf(g->reason, sizeof g->reason, format, args);
  va_end(args);
}

/* Standard error of a row's NDCG at the first cutoff. */
static double error_of(const wn_evaluation *e, const wn_model_result *row) {
  wn_moments m = wn_moments_of(row->user_value, (size_t)e->users_evaluated);
  return sqrt(m.var / (double)(m.n > 0 ? m.n : 1));
}

/* The same for a row that ranks at random. Where hits are so few that the row may have none, its
 * own spread says nothing: a value in [0, 1] with mean m has a variance of at most m (1 − m). */
static double error_at_random(const wn_evaluation *e, const wn_model_result *row, double expected) {
  double users = (double)(e->users_evaluated > 0 ? e->users_evaluated : 1);
  bool few = expected * users < FEW_HITS;
  return few ? sqrt(expected * (1 - expected) / users) : error_of(e, row);
}

static void random_is_fair(wn_evaluation *e) {
  size_t at = wn_evaluation_find(e, "random");
  if (at == WN_ROWS_MAX || e->primary >= WN_TIED_METRICS) return;
  const wn_model_result *random = &e->rows[at];
  double expected = e->constant.expected[e->primary][0], got = random->at[0].of[e->primary].mean;
  double error = error_at_random(e, random, expected);
  bool fair = fabs(got - expected) <= SIGMAS * error;
  guard(e, "constant = random", fair ? WN_GUARD_PASS : WN_GUARD_FAIL,
        "a constant scorer expects %s %.5f, random got %.5f (standard error %.5f)",
        wn_metric_about(e->primary)->label, expected, got, error);
}

static void order_says_nothing(wn_evaluation *e) {
  size_t at = wn_evaluation_find(e, "random");
  if (at == WN_ROWS_MAX || e->primary >= WN_TIED_METRICS) return;
  double expected = e->constant.expected[e->primary][0],
         by_number = e->constant.by_number[e->primary][0];
  double error = error_at_random(e, &e->rows[at], expected);
  bool says = by_number > expected + SIGMAS * error;
  guard(e, "item order", says ? WN_GUARD_WARN : WN_GUARD_PASS,
        "the items in the order of their numbers get %s %.5f, in random order %.5f%s",
        wn_metric_about(e->primary)->label, by_number, expected,
        says ? ": of rows with ties read the expectation" : "");
}

static void someone_beats_popular(wn_evaluation *e) {
  const wn_model_result *best = NULL;
  if (wn_evaluation_find(e, "popular") == WN_ROWS_MAX) return;
  for (size_t i = 0; i < e->rows_len; i++) {
    double d = e->rows[i].over_popular.difference.mean;
    if (!isnan(d) && (best == NULL || d > best->over_popular.difference.mean)) best = &e->rows[i];
  }
  if (best == NULL) return;
  wn_interval d = best->over_popular.difference;
  if (isnan(d.low)) {
    guard(
        e, "beats popularity", WN_GUARD_WARN,
        "the best row over popular: %s %+.4f, without an interval: nothing is certain of one user",
        best->name, d.mean);
    return;
  }
  guard(e, "beats popularity", d.low > 0 ? WN_GUARD_PASS : WN_GUARD_WARN,
        "the best row over popular, same users: %s %+.4f (%+.4f to %+.4f)", best->name, d.mean,
        d.low, d.high);
}

/* Is a plain rule as good as what was learnt? The best learnt row less `top`, on the same users. */
static void plain_rule(wn_evaluation *e) {
  size_t at = wn_evaluation_find(e, "top");
  const wn_model_result *best = NULL;
  if (at == WN_ROWS_MAX) return;
  for (size_t i = 0; i < e->rows_len; i++) {
    double mean = e->rows[i].at[0].of[e->primary].mean;
    if (i != at && (best == NULL || mean > best->at[0].of[e->primary].mean)) best = &e->rows[i];
  }
  double sum = 0, squares = 0, users = (double)e->users_evaluated;
  if (best == NULL || users < 2) return;
  for (uint64_t u = 0; u < e->users_evaluated; u++) {
    double d = best->user_value[u] - e->rows[at].user_value[u];
    sum += d;
    squares += d * d;
  }
  double mean = sum / users, error = sqrt(fmax(0, squares / users - mean * mean) / (users - 1));
  double low = mean - Z95 * error, high = mean + Z95 * error;
  bool enough = low <= 0;
  guard(e, "plain rule", enough ? WN_GUARD_WARN : WN_GUARD_PASS,
        "%s the most used of the same category: %s less top %+.4f (%+.4f to %+.4f)",
        enough ? "nothing is certainly better than" : "learning beats", best->name, mean, low,
        high);
}

static void ties_do_not_matter(wn_evaluation *e) {
  const wn_model_result *worst = NULL;
  double most = 0;
  if (e->primary >= WN_TIED_METRICS) return;
  for (size_t i = 0; i < e->rows_len; i++) {
    wn_tie_result t = e->rows[i].ties[e->primary][0];
    double gap = fabs(e->rows[i].at[0].of[e->primary].mean - t.expected);
    if (e->rows[i].users_tied > 0 && gap > most) most = gap, worst = &e->rows[i];
  }
  if (worst == NULL) {
    guard(e, "ties", WN_GUARD_PASS, "no row's numbers depend on the order of equal scores");
    return;
  }
  wn_interval at = worst->at[0].of[e->primary];
  wn_tie_result t = worst->ties[e->primary][0];
  bool matters = t.expected < at.low || t.expected > at.high;
  guard(e, "ties", matters ? WN_GUARD_WARN : WN_GUARD_PASS,
        "%s has equal scores in %" PRIu64 " lists: %.4f as served, %.4f expected over their orders "
        "(%.4f worst, %.4f best)",
        worst->name, worst->users_tied, at.mean, t.expected, t.worst, t.best);
}

static void lists_are_new(wn_evaluation *e) {
  for (size_t i = 0; i < e->rows_len; i++)
    if (e->rows[i].seen_items > 0)
      guard(e, "seen items", WN_GUARD_WARN,
            "%s recommends %" PRIu64 " items that their user has in train: never relevant here, "
            "places lost",
            e->rows[i].name, e->rows[i].seen_items);
}

/* A user without a list counts 0: a row that has none to give looks bad for another reason. */
static void lists_are_there(wn_evaluation *e) {
  const wn_model_result *worst = NULL;
  for (size_t i = 0; i < e->rows_len; i++)
    if (e->rows[i].users_without_list * FEW_LISTS > e->users_evaluated &&
        (worst == NULL || e->rows[i].users_without_list > worst->users_without_list))
      worst = &e->rows[i];
  if (worst == NULL) return;
  guard(e, "lists", WN_GUARD_WARN,
        "%s gives %" PRIu64 " of %" PRIu64 " users no list: they count 0", worst->name,
        worst->users_without_list, e->users_evaluated);
}

static void population(wn_evaluation *e) {
  bool small = e->users_evaluated < 100;
  guard(e, "population", small ? WN_GUARD_WARN : WN_GUARD_PASS, "%" PRIu64 " users%s",
        e->users_evaluated, small ? ": too few for differences of some percent" : "");
  if (e->sampled)
    guard(e, "full ranking", WN_GUARD_WARN, "sampled metrics: not comparable with full ranking");
}

void wn_bench_guards(const wn_bench *b WN_UNUSED, wn_evaluation *out) {
  population(out);
  random_is_fair(out);
  order_says_nothing(out);
  ties_do_not_matter(out);
  someone_beats_popular(out);
  plain_rule(out);
  lists_are_there(out);
  lists_are_new(out);
}
