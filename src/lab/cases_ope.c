/* Kinds of ope.h. */
#include "lab/cases_internal.h"
#include "lab/ope.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 1e7

/* --- single actions --- */

typedef struct logged {
  wn_ope_row *rows;
  size_t n;
} logged;

/* The values of all arms: one list for every context, or a list a row. */
typedef struct arm_values {
  const double *of;
  size_t arms;
} arm_values;

static void read_arms(wn_case *c, const char *name, size_t row, arm_values *out) {
  const json_t *all = json_object_get(c->input, name);
  bool own = json_is_array(json_array_get(all, 0));
  if (row == 0 || own)
    out->of = wn_case_numbers_of(c, own ? json_array_get(all, row) : all, name, &out->arms);
}

/* Rows of their own: action, reward, pscore, pi_e, q_hat. */
static logged from_rows(wn_case *c) {
  logged out = {0};
  arm_values pi = {0}, q = {0};
  size_t m[2];
  double *action = wn_case_numbers(c, "action", &out.n);
  double *reward = wn_case_numbers(c, "reward", &m[0]),
         *pscore = wn_case_numbers(c, "pscore", &m[1]);
  bool model = json_object_get(c->input, "q_hat") != NULL;
  if (m[0] != out.n || m[1] != out.n) c->wrong = m[0] != out.n ? "reward" : "pscore";
  out.rows = wn_case_alloc(c, out.n, sizeof *out.rows);
  for (size_t i = 0; wn_case_ok(c) && i < out.n; i++) {
    read_arms(c, "pi_e", i, &pi);
    if (model) read_arms(c, "q_hat", i, &q);
    size_t a = action[i] >= 0 && action[i] < (double)pi.arms ? (size_t)action[i] : pi.arms;
    if (model && q.arms != pi.arms) c->wrong = "q_hat";
    if (a >= pi.arms) c->wrong = "action";
    if (!(pscore[i] > 0 && pscore[i] <= 1)) c->wrong = "pscore";
    if (!wn_case_ok(c)) break;
    out.rows[i] = (wn_ope_row){pi.of[a] / pscore[i], reward[i], model ? q.of[a] : 0, 0};
    for (size_t b = 0; model && b < pi.arms; b++) out.rows[i].value += pi.of[b] * q.of[b];
  }
  return out;
}

/* Counts and clicks of each arm and position under a constant propensity; the reward model shrinks
 * each cell's click rate to the log's with the weight of 100 rows. */
static logged from_counts(wn_case *c) {
  logged out = {0};
  const json_t *pi = wn_case_field(c, "pi_e"), *counts = wn_case_field(c, "counts");
  const json_t *clicks = wn_case_field(c, "clicks");
  size_t arms = json_array_size(counts), slots = json_array_size(json_array_get(counts, 0)), len;
  double pscore = wn_case_number(c, "constant_pscore"), *cells[3];
  for (int k = 0; k < 3; k++) cells[k] = wn_case_alloc(c, arms * slots, sizeof **cells);
  double rows = 0, clicked = 0, *value = wn_case_alloc(c, slots, sizeof *value);
  if (!wn_case_ok(c)) return out;
  const json_t *tables[] = {pi, counts, clicks};
  for (size_t a = 0; a < arms; a++)
    for (int k = 0; k < 3; k++) {
      double *row = wn_case_numbers_of(c, json_array_get(tables[k], a), "counts", &len);
      if (!wn_case_ok(c) || len != slots) {
        c->wrong = "counts";
        return out;
      }
      memcpy(cells[k] + a * slots, row, slots * sizeof *row);
    }
  for (size_t i = 0; i < arms * slots; i++) {
    rows += cells[1][i];
    clicked += cells[2][i];
  }
  double rate = clicked / rows;
  if (!(rows >= 1 && rows <= COUNT_MAX)) c->wrong = "counts";
  if (wn_case_ok(c)) out.rows = wn_case_alloc(c, (size_t)rows + arms * slots, sizeof *out.rows);
  if (!wn_case_ok(c)) return out;
  for (size_t i = 0; i < arms * slots; i++)
    value[i % slots] += cells[0][i] * (cells[2][i] + 100 * rate) / (cells[1][i] + 100);
  for (size_t i = 0; i < arms * slots; i++)
    for (double r = 0; r < cells[1][i]; r++)
      out.rows[out.n++] =
          (wn_ope_row){cells[0][i] / pscore, r < cells[2][i],
                       (cells[2][i] + 100 * rate) / (cells[1][i] + 100), value[i % slots]};
  return out;
}

static bool starts(const char *key, const char *name, double *lambda) {
  size_t len = strlen(name);
  char *end;
  if (strncmp(key, name, len) != 0) return false;
  *lambda = strtod(key + len, &end);
  return end > key + len && *end == '\0';
}

static bool weighs(const logged *log) {
  for (size_t i = 0; i < log->n; i++)
    if (log->rows[i].weight > 0) return true;
  return false;
}

/* What an expected name asks for; false: it is no estimator. */
static bool estimate(const char *key, const logged *log, double *out) {
  static const struct {
    const char *name;
    wn_ope_estimator which;
    bool lambda;
  } all[] = {{"ips", WN_OPE_IPS, false},         {"snips", WN_OPE_SNIPS, false},
             {"dm", WN_OPE_DM, false},           {"dr", WN_OPE_DR, false},
             {"sndr", WN_OPE_SNDR, false},       {"cressie_read", WN_OPE_CRESSIE_READ, false},
             {"ips_clip", WN_OPE_CLIPPED, true}, {"switch_dr", WN_OPE_SWITCH_DR, true},
             {"dros", WN_OPE_DROS, true},        {"sgipw", WN_OPE_SUBGAUSSIAN, true}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    double lambda = 0;
    if (all[i].lambda ? !starts(key, all[i].name, &lambda) : strcmp(key, all[i].name) != 0)
      continue;
    *out = wn_ope_estimate_of(all[i].which, log->rows, log->n, lambda).value;
    if ((all[i].which == WN_OPE_SNIPS || all[i].which == WN_OPE_SNDR) && !weighs(log)) *out = NAN;
    return true;
  }
  return false;
}

static void ope(wn_case *c) {
  bool rows = json_object_get(c->input, "action") != NULL &&
              json_is_array(json_object_get(c->input, "action"));
  if (!rows && json_object_get(c->input, "counts") == NULL) {
    c->skip = "needs the rows of a data set that the case does not carry";
    return;
  }
  logged log = rows ? from_rows(c) : from_counts(c);
  wn_ope_diagnostics d;
  const char *key;
  json_t *value;
  double x;
  if (!wn_case_ok(c) || log.n == 0) return;
  json_object_foreach((json_t *)(uintptr_t)c->expected, key, value) if (estimate(key, &log, &x))
      wn_case_put(c->got, key, x);
  wn_ope_diagnose(log.rows, log.n, 0, 0, 1, &d);
  double *w = wn_case_alloc(c, log.n, sizeof *w);
  for (size_t i = 0; w != NULL && i < log.n; i++) w[i] = log.rows[i].weight;
  wn_case_put_array(c->got, "w", w, log.n);
  wn_case_put(c->got, "ess", d.ess);
  wn_case_put(c->got, "mean_w", d.mean_weight);
  wn_case_put(c->got, "se_ips", wn_ope_estimate_of(WN_OPE_IPS, log.rows, log.n, 0).se);
  wn_case_put(c->got, "mean_weight", d.mean_weight);
  wn_case_put(c->got, "max_weight", d.max_weight);
  wn_case_put(c->got, "zero_weight_frac", d.zero_share);
  wn_case_put(c->got, "se_snips", wn_ope_estimate_of(WN_OPE_SNIPS, log.rows, log.n, 0).se);
  wn_case_put(c->got, "se_dr", wn_ope_estimate_of(WN_OPE_DR, log.rows, log.n, 0).se);
  wn_case_put(c->got, "se_snips_delta", wn_ope_estimate_of(WN_OPE_SNIPS, log.rows, log.n, 0).se);
}

static void replay(wn_case *c) {
  size_t n, m, k, matches;
  double *logged_arm = wn_case_numbers(c, "logged", &n), *chosen = wn_case_numbers(c, "chosen", &m);
  double *reward = wn_case_numbers(c, "reward", &k);
  uint32_t *a = wn_case_alloc(c, n, sizeof *a), *b = wn_case_alloc(c, n, sizeof *b);
  if (n != m || n != k) c->wrong = "chosen";
  if (!wn_case_ok(c)) return;
  for (size_t i = 0; i < n; i++) {
    a[i] = (uint32_t)fmax(0, fmin(logged_arm[i], 1e9));
    b[i] = (uint32_t)fmax(0, fmin(chosen[i], 1e9));
  }
  double value = wn_replay(a, b, reward, n, &matches);
  wn_case_put(c->got, "matches", (double)matches);
  wn_case_put(c->got, "value", value);
}

static void ope_guard(wn_case *c) {
  size_t arms, m;
  double *pi_b = wn_case_numbers(c, "pi_b", &arms), *pi_e = wn_case_numbers(c, "pi_e", &m);
  double uncovered = 0, least = 0, most = 1; /* rewards are shares unless some are not */
  if (arms != m) c->wrong = "pi_e";
  logged log = from_rows(c);
  wn_ope_diagnostics d;
  if (!wn_case_ok(c) || log.n == 0) return;
  for (size_t i = 0; i < log.n; i++) {
    least = fmin(least, log.rows[i].reward);
    most = fmax(most, log.rows[i].reward);
  }
  for (size_t a = 0; a < arms; a++) uncovered += pi_b[a] > 0 ? 0 : pi_e[a];
  wn_ope_diagnose(log.rows, log.n, uncovered, least, most, &d);
  wn_case_put(c->got, "ips", wn_ope_estimate_of(WN_OPE_IPS, log.rows, log.n, 0).value);
  wn_case_put(c->got, "uncovered_mass", d.uncovered);
  wn_case_put_pair(c->got, "bound", d.low, d.high);
  wn_case_put(c->got, "mean_w", d.mean_weight);
  json_object_set_new(c->got, "refused", json_boolean(d.refused));
}

/* --- slates --- */

/* rows × slots numbers, row-major. */
static double *table(wn_case *c, const char *name, size_t shape[2]) {
  const json_t *rows = wn_case_field(c, name);
  size_t len;
  shape[0] = json_array_size(rows);
  shape[1] = json_array_size(json_array_get(rows, 0));
  double *out = wn_case_alloc(c, shape[0] * shape[1], sizeof *out);
  for (size_t i = 0; wn_case_ok(c) && i < shape[0]; i++) {
    double *row = wn_case_numbers_of(c, json_array_get(rows, i), name, &len);
    if (len != shape[1]) c->wrong = name;
    if (wn_case_ok(c)) memcpy(out + i * len, row, len * sizeof *row);
  }
  return out;
}

static void cascade(wn_case *c) {
  const json_t *q = wn_case_field(c, "q_hat"), *pi = wn_case_field(c, "pi_e");
  size_t shape[2] = {json_array_size(q), json_array_size(json_array_get(q, 0))};
  size_t n = shape[0] * shape[1], lens[4], arms, m;
  double *action = wn_case_numbers(c, "action", &lens[0]);
  double *reward = wn_case_numbers(c, "reward", &lens[1]);
  double *p_log = wn_case_numbers(c, "p_log_cascade", &lens[2]);
  double *p_eval = wn_case_numbers(c, "p_eval_cascade", &lens[3]);
  double *of[3]; /* prefix weight, q of the action, its mean under pi_e */
  for (int k = 0; k < 3; k++) of[k] = wn_case_alloc(c, n, sizeof **of);
  for (int k = 0; k < 4; k++)
    if (lens[k] != n) c->wrong = "q_hat";
  for (size_t i = 0; wn_case_ok(c) && i < n; i++) {
    size_t row = i / shape[1], slot = i % shape[1];
    double *qs =
        wn_case_numbers_of(c, json_array_get(json_array_get(q, row), slot), "q_hat", &arms);
    double *ps = wn_case_numbers_of(c, json_array_get(json_array_get(pi, row), slot), "pi_e", &m);
    if (arms != m || !(action[i] >= 0 && action[i] < (double)arms)) c->wrong = "action";
    if (!wn_case_ok(c)) return;
    of[0][i] = p_eval[i] / p_log[i];
    of[1][i] = qs[(size_t)action[i]];
    for (size_t a = 0; a < arms; a++) of[2][i] += ps[a] * qs[a];
  }
  if (wn_case_ok(c))
    wn_case_put(c->got, "cascade_dr", wn_cascade_dr(of[0], reward, of[1], of[2], shape));
}

static void slate_ope(wn_case *c) {
  size_t shape[3][2];
  wn_slate_ope m;
  if (json_object_get(c->input, "p_log_cascade") != NULL) {
    cascade(c);
    return;
  }
  wn_slate_table log = {.p_log = table(c, "p_log", shape[0]),
                        .p_eval = table(c, "p_eval", shape[1]),
                        .reward = table(c, "slot_rewards", shape[2])};
  if (memcmp(shape[0], shape[1], sizeof *shape) != 0 ||
      memcmp(shape[0], shape[2], sizeof *shape) != 0)
    c->wrong = "slot_rewards";
  log.n = shape[0][0];
  log.slots = shape[0][1];
  if (!wn_case_ok(c) || !wn_slate_ope_of(&log, &m)) return;
  wn_case_put(c->got, "sips", m.sips);
  wn_case_put(c->got, "iips", m.iips);
  wn_case_put(c->got, "rips", m.rips);
  wn_case_put(c->got, "pi", m.pi);
  wn_case_put(c->got, "snsips", m.snsips);
  wn_case_put(c->got, "sniips", m.sniips);
  wn_case_put(c->got, "snrips", m.snrips);
}

const wn_case_kind wn_cases_ope[] = {{"ope", ope},
                                     {"replay", replay},
                                     {"ope_guard", ope_guard},
                                     {"slate_ope", slate_ope},
                                     {NULL, NULL}};
