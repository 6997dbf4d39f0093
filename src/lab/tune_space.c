/* Where tuning looks. Ranges hold what is plausible on data of any size, around the defaults and
 * what papers report; parameters that trade quality for time (factors, neighbours, epochs) are the
 * user's to choose, by --set. Random points (Bergstra and Bengio, JMLR 13, 2012), log-uniform where
 * a range spans decades. */

#include "lab/tune.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const wn_tune_range wn_tune_ranges[] = {
    {"popular", "half_life_days", 1, 2000, WN_TUNE_LOG},
    {"covisit", "tau", 1, 20, WN_TUNE_LOG},
    {"covisit", "rho", 0, 1, WN_TUNE_LINEAR},
    {"covisit", "a", 0, 1.2, WN_TUNE_LINEAR},
    {"covisit", "b", 0, 0.8, WN_TUNE_LINEAR},
    {"covisit", "tau_query", 1, 20, WN_TUNE_LOG},
    {"covisit", "power", 0.3, 1, WN_TUNE_LINEAR},
    {"content", "k1", 0.3, 3, WN_TUNE_LOG},
    {"content", "b", 0, 1, WN_TUNE_LINEAR},
    {"content", "title_weight", 0.5, 8, WN_TUNE_LOG},
    {"content", "df_max", 0.01, 0.5, WN_TUNE_LOG},
    {"content", "tau_query", 1, 60, WN_TUNE_LOG},
    {"als", "alpha0", 0.001, 1, WN_TUNE_LOG},
    {"als", "lambda", 0.0002, 0.05, WN_TUNE_LOG},
    {"als", "nu", 0.5, 1.5, WN_TUNE_LINEAR},
    {"als", "power", 0, 1, WN_TUNE_LINEAR},
    {"ridge", "lambda", 1, 300, WN_TUNE_LOG},
    {"ridge", "user_exponent", 0, 0.5, WN_TUNE_LINEAR},
    {"ridge", "power", 0, 1, WN_TUNE_LINEAR},
    {"ridge-seq", "lambda", 20, 2000, WN_TUNE_LOG},
    {"ridge-seq", "tau", 1, 20, WN_TUNE_LOG},
    {"ridge-seq", "tau_query", 1, 20, WN_TUNE_LOG},
    {"ridge-seq", "user_exponent", 0, 0.5, WN_TUNE_LINEAR},
    {"ease", "lambda", 10, 3000, WN_TUNE_LOG},
    {"ease", "user_exponent", 0, 0.5, WN_TUNE_LINEAR},
    {"ease", "power", 0, 1, WN_TUNE_LINEAR},
    {"vmis", "recent", 100, 5000, WN_TUNE_LOG_WHOLE},
    {"vmis", "neighbours", 30, 2000, WN_TUNE_LOG_WHOLE},
    {"vmis", "fade", 0, 0.5, WN_TUNE_LINEAR},
    {"user-knn", "neighbours", 20, 1000, WN_TUNE_LOG_WHOLE},
    {"user-knn", "shrink", 0.5, 100, WN_TUNE_LOG},
    {"user-knn", "idf", 0, 2, WN_TUNE_LINEAR},
    {"user-knn", "sharpness", 0.5, 4, WN_TUNE_LINEAR},
    {"user-knn", "b", 0, 0.8, WN_TUNE_LINEAR},
};
const size_t wn_tune_ranges_len = sizeof wn_tune_ranges / sizeof *wn_tune_ranges;

static size_t param_at(const wn_model_class *cls, const char *name) {
  size_t i = 0;
  while (i < cls->params_len && strcmp(cls->params[i].name, name) != 0) i++;
  return i;
}

size_t wn_tune_at(const wn_tune_space *space, const wn_tune_range *range) {
  if (strcmp(range->model, space->cls->name) != 0) return WN_PARAMS_MAX;
  size_t at = param_at(space->cls, range->param);
  return at < space->cls->params_len && !space->fixed[at] ? at : WN_PARAMS_MAX;
}

wn_status wn_tune_fix(wn_tune_space *space, const char *assignment, wn_error *err) {
  char key[96];
  size_t prefix = strlen(space->cls->name);
  if (strncmp(assignment, space->cls->name, prefix) == 0 && assignment[prefix] == '.')
    assignment += prefix + 1;
  const char *equals = strchr(assignment, '=');
  if (equals == NULL)
    return wn_fail(err, WN_E_ARGUMENT, "set", "must be KEY=VALUE, got \"%.100s\"", assignment);
  snprintf(key, sizeof key, "%.*s", (int)(equals - assignment), assignment);
  wn_status status = wn_params_set(space->cls, &space->start, key, equals + 1, err);
  if (status == WN_OK) space->fixed[param_at(space->cls, key)] = true;
  return status;
}

size_t wn_tune_searched(const wn_tune_space *space) {
  size_t n = 0;
  for (size_t i = 0; i < wn_tune_ranges_len; i++)
    n += wn_tune_at(space, &wn_tune_ranges[i]) < WN_PARAMS_MAX;
  return n;
}

/* Three digits: what is printed is what was tried. */
static double rounded(double x) {
  char text[32];
  double out = x;
  snprintf(text, sizeof text, "%.2e", x);
  return wn_parse_double(wn_str_of(text), &out) ? out : x;
}

double wn_tune_value(const wn_tune_range *r, double x) {
  double value = r->scale == WN_TUNE_LINEAR ? r->low + x * (r->high - r->low)
                                            : r->low * pow(r->high / r->low, x);
  value = r->scale == WN_TUNE_LOG_WHOLE ? round(value) : rounded(value);
  return fmin(fmax(value, r->low), r->high);
}

double wn_tune_unit(const wn_tune_range *r, double value) {
  return r->scale == WN_TUNE_LINEAR ? (value - r->low) / (r->high - r->low)
                                    : log(value / r->low) / log(r->high / r->low);
}

void wn_tune_point(const wn_tune_space *space, uint64_t seed, uint32_t trial, wn_params *out) {
  wn_rng rng;
  *out = space->start;
  if (trial == 0) return;
  wn_rng_seed(&rng, wn_mix64(seed) ^ trial);
  for (size_t i = 0; i < wn_tune_ranges_len; i++) {
    const wn_tune_range *r = &wn_tune_ranges[i];
    if (strcmp(r->model, space->cls->name) != 0) continue;
    double x = wn_rng_double(&rng); /* also for fixed ones: the others keep their points */
    size_t at = wn_tune_at(space, r);
    if (at < WN_PARAMS_MAX) out->value[at] = wn_tune_value(r, x);
  }
}
