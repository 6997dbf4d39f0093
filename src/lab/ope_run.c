/* One policy on one log. Rows are what the estimators average over; decisions (slates) are what the
 * bootstrap draws, since rows of a slate hang together.
 *
 * λ of clipped, switch and DRos: of a grid, the one with the least bias² + variance on the log, the
 * bias estimated as the mean of what shrinking leaves out (Su et al. 2020, section 5, without their
 * upper bound). A line is refused when the guard that its weights stand under refuses: the direct
 * method, too, since nothing would check its guess.
 *
 * Costs: O(rows) and samples × decisions a line; memory 100 bytes a row. Deterministic for a seed,
 * whatever the thread count. */
#include "lab/ope_run.h"

#include "base/mem.h"
#include "base/thread.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DECISIONS_BOOTSTRAPPED 200000 /* beyond, intervals are normal */
#define UNCOVERED_MAX          0.01   /* of a policy's choices; what is less widens the intervals */

typedef enum model { NO_MODEL, MODEL, MRDR } model;
static const struct {
  const char *name;
  wn_ope_estimator which;
  model model;
  bool lambda;
} estimators[] = {
    {"IPS", WN_OPE_IPS, NO_MODEL, false},
    {"SNIPS", WN_OPE_SNIPS, NO_MODEL, false},
    {"clipped IPS", WN_OPE_CLIPPED, NO_MODEL, true},
    {"DM", WN_OPE_DM, MODEL, false},
    {"DR", WN_OPE_DR, MODEL, false},
    {"SNDR", WN_OPE_SNDR, MODEL, false},
    {"switch-DR", WN_OPE_SWITCH_DR, MODEL, true},
    {"DRos", WN_OPE_DROS, MODEL, true},
    {"MRDR", WN_OPE_DR, MRDR, false},
};
#define MODEL_MOST 0.6
#define ESTIMATORS (sizeof estimators / sizeof *estimators)
_Static_assert(ESTIMATORS <= WN_OPE_LINES_MAX, "room for every line");

typedef struct run {
  const wn_logged *log;
  const wn_ope_options *options;
  wn_ope_result *out;
  wn_ope_row *rows[2]; /* MODEL, MRDR */
  bool known;          /* the models' values */
  double uncovered, reward_min, reward_max;
  uint32_t samples;
  wn_slate_table slates;      /* padded to the longest: weight 1, reward 0 */
  double *prefix, *q, *value; /* of cascade-DR */
  bool failed[ESTIMATORS + WN_OPE_SLATES_MAX];
} run;

void wn_ope_options_defaults(wn_ope_options *options) {
  *options = (wn_ope_options){.bootstrap = 1000, .seed = 1};
}

static void put_interval(const run *r, const wn_ratio_estimate *e, wn_ope_line *line) {
  double missing = r->uncovered; /* its rewards: anything seen */
  line->value = e->value;
  line->se = e->se;
  line->low = e->low + fmin(0, missing * (r->reward_min - e->value));
  line->high = e->high + fmax(0, missing * (r->reward_max - e->value));
}

/* Is the estimate the model's rather than the log's: more than MODEL_MOST of the weight taken away?
 */
static bool mostly_model(wn_ope_estimator which, double lambda, const wn_ope_row *rows, size_t n) {
  double all = 0, kept = 0;
  if (!wn_ope_uses_model(which)) return false;
  for (size_t i = 0; i < n; i++) {
    all += rows[i].weight;
    kept += wn_ope_shrunk(which, rows[i].weight, lambda);
  }
  return kept < (1 - MODEL_MOST) * all;
}

/* Such a spread says nothing of the model's error, which is what the value can be wrong by. */
static void drop_interval(wn_ope_line *line) {
  line->se = line->low = line->high = NAN;
}

/* --- single rows --- */

static double best_lambda(wn_ope_estimator which, const wn_ope_row *rows, size_t n) {
  static const double grid[] = {1,   2,   5,   10,  20,  50,  100, 200,
                                500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6, 1e7};
  double best = grid[0], least = INFINITY;
  for (size_t g = 0; g < sizeof grid / sizeof *grid; g++) {
    double bias = 0, se = wn_ope_estimate_of(which, rows, n, grid[g]).se;
    for (size_t i = 0; i < n; i++) {
      double residual = rows[i].reward - (wn_ope_uses_model(which) ? rows[i].q : 0);
      bias += (rows[i].weight - wn_ope_shrunk(which, rows[i].weight, grid[g])) * residual;
    }
    bias /= (double)n;
    if (bias * bias + se * se >= least) continue;
    least = bias * bias + se * se;
    best = grid[g];
  }
  return best;
}

/* Sums of one decision. */
static void add_row(wn_ope_estimator which, const wn_ope_row *row, double lambda, double *sums) {
  bool with_model = wn_ope_uses_model(which);
  double w = wn_ope_shrunk(which, row->weight, lambda);
  double correction = w * (row->reward - (with_model ? row->q : 0));
  double baseline = with_model ? row->value : 0;
  bool normalised = which == WN_OPE_SNIPS || which == WN_OPE_SNDR;
  sums[0] += normalised ? correction : baseline + correction;
  sums[1] += normalised ? w : 1;
  if (which != WN_OPE_SNDR) return;
  sums[2] += baseline;
  sums[3] += 1;
}

static bool measure_line(const run *r, size_t e, wn_ope_line *line) {
  size_t pairs = estimators[e].which == WN_OPE_SNDR ? 2 : 1, n = r->log->decisions;
  const wn_ope_row *rows = r->rows[estimators[e].model == MRDR];
  *line = (wn_ope_line){estimators[e].name, NAN, NAN, NAN, NAN, NAN, NULL, r->out->guard.refused};
  if (estimators[e].model != NO_MODEL && !r->known) {
    line->missing = "the policy's probabilities of what was not shown (or q and value)";
    return true;
  }
  if (estimators[e].lambda)
    line->lambda = r->options->lambda > 0
                       ? r->options->lambda
                       : best_lambda(estimators[e].which, rows, r->log->rows.len);
  double *terms = wn_calloc(n, 2 * pairs * sizeof *terms);
  if (terms == NULL) return false;
  for (size_t i = 0; i < r->log->rows.len; i++)
    add_row(estimators[e].which, &rows[i], line->lambda,
            terms + r->log->rows.data[i].decision * 2 * pairs);
  wn_ratio_sums sums = {terms, n, pairs};
  wn_ratio_estimate estimate;
  bool done = wn_ratio_interval(&sums, r->samples, r->options->seed, &estimate);
  if (done) put_interval(r, &estimate, line);
  if (mostly_model(estimators[e].which, line->lambda, rows, r->log->rows.len)) drop_interval(line);
  wn_free(terms);
  return done;
}

/* --- whole slates --- */

enum { SIPS, IIPS, RIPS, SNSIPS, CASCADE_DR, PSEUDO_INVERSE, SLATE_ESTIMATORS };
static const char *const slate_names[] = {
    "SIPS", "IIPS", "RIPS", "self-normalised SIPS", "cascade-DR", "pseudo-inverse"};
_Static_assert(SLATE_ESTIMATORS <= WN_OPE_SLATES_MAX, "room for every line");

static double cascade_term(const run *r, size_t decision) {
  size_t from = decision * r->slates.slots;
  double sum = 0, before = 1;
  for (size_t at = from; at < from + r->slates.slots; at++) {
    sum += r->prefix[at] * (r->slates.reward[at] - r->q[at]) + before * r->value[at];
    before = r->prefix[at];
  }
  return sum;
}

static bool measure_slates(const run *r, size_t e, wn_ope_line *line) {
  size_t n = r->log->decisions;
  bool by_slot = e == IIPS || e == PSEUDO_INVERSE;
  *line = (wn_ope_line){slate_names[e],
                        NAN,
                        NAN,
                        NAN,
                        NAN,
                        NAN,
                        NULL,
                        by_slot ? r->out->guard.refused : r->out->slate_guard.refused};
  if (e == CASCADE_DR && !r->known) {
    line->missing = "the policy's probabilities of what was not shown (or q and value)";
    return true;
  }
  double *terms = wn_calloc(n, 2 * sizeof *terms);
  if (terms == NULL) return false;
  for (size_t i = 0; i < n; i++) {
    wn_slate_terms t = wn_slate_terms_of(&r->slates, i);
    const double all[] = {t.sips, t.iips, t.rips, t.sips, cascade_term(r, i), t.pi};
    terms[2 * i] = all[e];
    terms[2 * i + 1] = e == SNSIPS ? t.joint : 1;
  }
  wn_ratio_sums sums = {terms, n, 1};
  wn_ratio_estimate estimate;
  bool done = wn_ratio_interval(&sums, r->samples, r->options->seed, &estimate);
  if (done) put_interval(r, &estimate, line);
  wn_free(terms);
  return done;
}

static wn_status lay_out_slates(run *r, wn_error *err) {
  size_t slots = r->log->positions, cells = slots * r->log->decisions;
  double *all = wn_reallocarray(NULL, cells, 6 * sizeof *all);
  if (all == NULL) return wn_fail_memory(err);
  double *p_log = all, *p_eval = all + cells, *reward = all + 2 * cells;
  r->prefix = all + 3 * cells;
  r->q = all + 4 * cells;
  r->value = all + 5 * cells;
  for (size_t i = 0; i < cells; i++) {
    p_log[i] = p_eval[i] = 1;
    reward[i] = r->q[i] = r->value[i] = 0;
  }
  for (size_t i = 0; i < r->log->rows.len; i++) {
    const wn_logged_row *row = &r->log->rows.data[i];
    size_t at = row->decision * slots + row->position;
    p_log[at] = row->p_log;
    p_eval[at] = row->p_eval;
    reward[at] = row->reward;
    r->q[at] = r->rows[0][i].q;
    r->value[at] = r->rows[0][i].value;
  }
  for (size_t d = 0; d < r->log->decisions; d++) {
    double joint = 1, below = 0; /* what the places below are worth under the policy */
    for (size_t at = d * slots; at < (d + 1) * slots; at++)
      r->prefix[at] = joint *= p_eval[at] / p_log[at];
    for (size_t at = (d + 1) * slots; at-- > d * slots;) {
      double here = r->value[at];
      r->q[at] += below;
      r->value[at] += below;
      below += here;
    }
  }
  r->slates = (wn_slate_table){r->log->decisions, slots, p_log, p_eval, reward};
  return WN_OK;
}

/* --- guards --- */

static void refuse_deterministic(const run *r, wn_ope_diagnostics *guard) {
  bool same = fabs(guard->mean_weight - 1) < 1e-9 && guard->zero_share == 0;
  if (!r->out->deterministic || same) return;
  guard->refused = true;
  snprintf(guard->why, sizeof guard->why,
           "every propensity of the log is 1: it shows what its policy does and nothing of any "
           "other; log some slates with exploration");
}

static void diagnose(const run *r, const wn_ope_row *rows, size_t n, wn_ope_diagnostics *out) {
  double gap = r->uncovered > UNCOVERED_MAX ? r->uncovered : 0;
  wn_ope_diagnose(rows, n, gap, r->reward_min, r->reward_max, out);
  out->uncovered = r->uncovered;
  refuse_deterministic(r, out);
}

static wn_status guard_slates(run *r, wn_error *err) {
  wn_ope_row *rows = wn_calloc(r->log->decisions, sizeof *rows);
  if (rows == NULL) return wn_fail_memory(err);
  for (size_t d = 0; d < r->log->decisions; d++) {
    wn_slate_terms t = wn_slate_terms_of(&r->slates, d);
    rows[d] = (wn_ope_row){.weight = t.joint, .reward = t.reward};
  }
  diagnose(r, rows, r->log->decisions, &r->out->slate_guard);
  wn_free(rows);
  return WN_OK;
}

/* --- the log's own mean --- */

static wn_status measure_logged(const run *r, bool slates, wn_ope_line *line, wn_error *err) {
  double *terms = wn_calloc(r->log->decisions, 2 * sizeof *terms);
  wn_ratio_estimate e;
  if (terms == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < r->log->rows.len; i++) {
    const wn_logged_row *row = &r->log->rows.data[i];
    terms[2 * row->decision] += row->reward;
    terms[2 * row->decision + 1] = slates ? 1 : terms[2 * row->decision + 1] + 1;
  }
  wn_ratio_sums sums = {terms, r->log->decisions, 1};
  bool done = wn_ratio_interval(&sums, r->samples, r->options->seed, &e);
  *line = (wn_ope_line){"logged policy", e.value, e.se, e.low, e.high, NAN, NULL, false};
  wn_free(terms);
  return done ? WN_OK : wn_fail_memory(err);
}

static void measure(void *ctx, size_t begin, size_t end, int worker WN_UNUSED) {
  run *r = ctx;
  for (size_t i = begin; i < end; i++)
    r->failed[i] = i < ESTIMATORS
                       ? !measure_line(r, i, &r->out->lines[i])
                       : !measure_slates(r, i - ESTIMATORS, &r->out->slates[i - ESTIMATORS]);
}

static wn_status measure_all(run *r, wn_error *err) {
  wn_pool *pool = wn_pool_create(r->options->threads);
  bool failed = false;
  if (pool == NULL) return wn_fail_memory(err);
  r->out->lines_len = ESTIMATORS;
  r->out->slates_len = r->slates.n > 0 ? SLATE_ESTIMATORS : 0;
  wn_pool_run(pool, r->out->lines_len + r->out->slates_len, 1, measure, r);
  wn_pool_free(pool);
  for (size_t i = 0; i < r->out->lines_len + r->out->slates_len; i++)
    failed = failed || r->failed[i];
  return failed ? wn_fail_memory(err) : WN_OK;
}

static wn_status check(const wn_logged *log, const wn_ope_options *options, wn_error *err) {
  for (size_t i = 0; i < log->rows.len; i++) {
    const wn_logged_row *row = &log->rows.data[i];
    if (!(row->p_log > 0 && row->p_log <= 1) || !isfinite(row->reward))
      return wn_fail(err, WN_E_FORMAT, "propensity",
                     "row %zu: a propensity must be above 0 and at most 1 and a reward finite, got "
                     "%g and %g",
                     i + 1, row->p_log, row->reward);
    if (options->policy == WN_POLICY_GIVEN && !(row->p_eval >= 0 && row->p_eval <= 1))
      return wn_fail(
          err, WN_E_ARGUMENT, "policy",
          "the log has no column `target` with the policy's probabilities: give a policy");
  }
  return WN_OK;
}

static void look_over(run *r) {
  r->reward_min = r->reward_max = r->log->rows.data[0].reward;
  r->out->deterministic = true;
  for (size_t i = 0; i < r->log->rows.len; i++) {
    const wn_logged_row *row = &r->log->rows.data[i];
    r->out->deterministic = r->out->deterministic && row->p_log == 1;
    r->reward_min = fmin(r->reward_min, row->reward);
    r->reward_max = fmax(r->reward_max, row->reward);
  }
}

wn_status wn_ope_run(wn_logged *log, const wn_ope_options *options, wn_ope_result *out,
                     wn_error *err) {
  run r = {.log = log, .options = options, .out = out};
  wn_status status;
  bool known;
  *out = (wn_ope_result){.rows = log->rows.len,
                         .decisions = log->decisions,
                         .positions = log->positions,
                         .items = wn_dict_count(log->items)};
  WN_TRY(check(log, options, err));
  r.samples = log->decisions <= DECISIONS_BOOTSTRAPPED ? options->bootstrap : 0;
  out->bootstrapped = r.samples > 0;
  look_over(&r);
  WN_TRY(wn_ope_probabilities(log, options, &r.uncovered, err));
  for (int m = 0; m < 2; m++) {
    r.rows[m] = wn_calloc(log->rows.len, sizeof **r.rows);
    if (r.rows[m] == NULL) WN_TRY(wn_fail_memory(err));
    WN_TRY(wn_ope_model(log, options, m == 1, r.rows[m], m == 0 ? &r.known : &known, err));
  }
  diagnose(&r, r.rows[0], log->rows.len, &out->guard);
  WN_TRY(measure_logged(&r, false, &out->logged, err));
  if (log->decisions < log->rows.len) {
    WN_TRY(lay_out_slates(&r, err));
    WN_TRY(guard_slates(&r, err));
    WN_TRY(measure_logged(&r, true, &out->slate_logged, err));
  }
  WN_TRY(measure_all(&r, err));
cleanup:
  wn_free((void *)(uintptr_t)r.slates.p_log);
  for (int m = 0; m < 2; m++) wn_free(r.rows[m]);
  return status;
}

/* --- JSON --- */

static void put_number(wn_json *j, const char *key, double value) {
  wn_json_key(j, key);
  wn_json_double(j, value);
}

/* A refused number is not told, so that nobody copies it. */
static void put_line(wn_json *j, const wn_ope_line *line) {
  wn_json_object(j);
  wn_json_key(j, "estimator");
  wn_json_cstring(j, line->name);
  put_number(j, "value", line->refused ? NAN : line->value);
  put_number(j, "se", line->refused ? NAN : line->se);
  put_number(j, "low", line->refused ? NAN : line->low);
  put_number(j, "high", line->refused ? NAN : line->high);
  if (!isnan(line->lambda)) put_number(j, "lambda", line->lambda);
  if (line->missing != NULL) {
    wn_json_key(j, "missing");
    wn_json_cstring(j, line->missing);
  }
  wn_json_key(j, "refused");
  wn_json_bool(j, line->refused);
  wn_json_end_object(j);
}

static void put_lines(wn_json *j, const char *key, const wn_ope_line *lines, size_t n) {
  wn_json_key(j, key);
  wn_json_array(j);
  for (size_t i = 0; i < n; i++) put_line(j, &lines[i]);
  wn_json_end_array(j);
}

static void put_guard(wn_json *j, const char *key, const wn_ope_diagnostics *d) {
  wn_json_key(j, key);
  wn_json_object(j);
  put_number(j, "mean_weight", d->mean_weight);
  put_number(j, "mean_weight_z", d->mean_weight_z);
  put_number(j, "max_weight", d->max_weight);
  put_number(j, "max_share", d->max_share);
  put_number(j, "effective_sample", d->ess);
  put_number(j, "zero_share", d->zero_share);
  put_number(j, "uncovered", d->uncovered);
  wn_json_key(j, "refused");
  wn_json_bool(j, d->refused);
  wn_json_key(j, "why");
  wn_json_cstring(j, d->why);
  wn_json_end_object(j);
}

void wn_ope_result_to_json(const wn_ope_result *r, wn_json *j) {
  const struct {
    const char *key;
    size_t value;
  } counts[] = {{"rows", r->rows},
                {"decisions", r->decisions},
                {"positions", r->positions},
                {"items", r->items}};
  wn_json_object(j);
  for (size_t i = 0; i < 4; i++) {
    wn_json_key(j, counts[i].key);
    wn_json_int(j, (int64_t)counts[i].value);
  }
  wn_json_key(j, "interval");
  wn_json_cstring(j, r->bootstrapped ? "95%, percentile bootstrap over decisions"
                                     : "95%, normal, spread by decision");
  put_lines(j, "logged", &r->logged, 1);
  put_guard(j, "guard", &r->guard);
  put_lines(j, "estimates", r->lines, r->lines_len);
  if (r->slates_len > 0) {
    put_lines(j, "slate_logged", &r->slate_logged, 1);
    put_guard(j, "slate_guard", &r->slate_guard);
    put_lines(j, "slate_estimates", r->slates, r->slates_len);
  }
  wn_json_end_object(j);
}
