/* An evaluation as JSON: every number with its population, its interval and its baseline beside it.
 */
#include "lab/evaluate.h"

#include "base/json_write.h"
#include "lab/fingerprint.h"

#include <math.h>

static void interval(wn_json *j, const char *key, wn_interval value) {
  wn_json_key(j, key);
  wn_json_object(j);
  wn_json_key(j, "mean");
  wn_json_double(j, value.mean);
  wn_json_key(j, "low");
  wn_json_double(j, value.low);
  wn_json_key(j, "high");
  wn_json_double(j, value.high);
  wn_json_end_object(j);
}

static void number(wn_json *j, const char *key, uint64_t value) {
  wn_json_key(j, key);
  wn_json_int(j, (int64_t)value);
}

static void real(wn_json *j, const char *key, double value) {
  wn_json_key(j, key);
  wn_json_double(j, value);
}

static void text(wn_json *j, const char *key, const char *value) {
  wn_json_key(j, key);
  wn_json_cstring(j, value);
}

static void hash(wn_json *j, const char *key, uint64_t value) {
  char digits[WN_HASH_TEXT];
  wn_hash_text(value, digits);
  text(j, key, digits);
}

/* JSON had hit_rate, coverage and gini from the beginning: metric.c's names. */
static void cutoff(wn_json *j, const wn_cutoff_result *at, bool first) {
  wn_json_object(j);
  number(j, "k", at->k);
  for (int m = 0; m < WN_METRICS; m++) {
    if (isnan(at->of[m].mean) || (!first && !wn_metric_has_cutoff((wn_metric)m))) continue;
    if (m < WN_METRICS_OF_USERS)
      interval(j, wn_metric_about((wn_metric)m)->name, at->of[m]);
    else
      real(j, wn_metric_about((wn_metric)m)->name, at->of[m].mean);
  }
  wn_json_end_object(j);
}

static void ties(wn_json *j, const wn_evaluation *e, const wn_model_result *r) {
  number(j, "users_tied", r->users_tied);
  if (r->users_tied == 0) return;
  wn_json_key(j, "ties");
  wn_json_array(j);
  for (size_t c = 0; c < e->cutoffs_len; c++) {
    wn_json_object(j);
    number(j, "k", r->at[c].k);
    for (int m = 0; m < WN_TIED_METRICS; m++) {
      wn_json_key(j, wn_metric_about((wn_metric)m)->name);
      wn_json_object(j);
      real(j, "expected", r->ties[m][c].expected);
      real(j, "best", r->ties[m][c].best);
      real(j, "worst", r->ties[m][c].worst);
      wn_json_end_object(j);
    }
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
}

static void comparison(wn_json *j, const char *key, const wn_comparison *c) {
  if (isnan(c->difference.mean)) return;
  wn_json_key(j, key);
  wn_json_object(j);
  interval(j, "difference", c->difference);
  real(j, "t_p", c->t_p);
  real(j, "wilcoxon_p", c->wilcoxon_p);
  real(j, "flip_p", c->flip_p);
  number(j, "wins", c->wins);
  number(j, "ties", c->ties);
  number(j, "losses", c->losses);
  wn_json_end_object(j);
}

static void slices(wn_json *j, const wn_model_result *r) {
  wn_json_key(j, "slices");
  wn_json_array(j);
  for (size_t i = 0; i < r->slices_len; i++) {
    const wn_slice *s = &r->slices[i];
    wn_json_object(j);
    text(j, "of", s->of_items ? "items" : "users");
    text(j, "by", s->by);
    text(j, "name", s->name);
    number(j, "users", s->users);
    interval(j, "value", (wn_interval){s->value.value, s->value.low, s->value.high});
    real(j, "p", s->p);
    real(j, "p_adjusted", s->p_adjusted);
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
}

static void reals(wn_json *j, const char *key, const double *x, size_t n) {
  wn_json_key(j, key);
  wn_json_array(j);
  for (size_t i = 0; i < n; i++) wn_json_double(j, x[i]);
  wn_json_end_array(j);
}

static void compat(wn_json *j, const wn_evaluation *e, const wn_model_result *r) {
  if (e->compat == WN_COMPAT_NONE) return;
  wn_json_key(j, "compat");
  wn_json_object(j);
  text(j, "tool", wn_compat_name(e->compat));
  text(j, "why", wn_compat_why(e->compat));
  wn_json_key(j, "at");
  wn_json_array(j);
  for (size_t c = 0; c < e->cutoffs_len; c++) {
    wn_json_object(j);
    number(j, "k", r->at[c].k);
    for (int m = 0; m < WN_COMPAT_METRICS; m++)
      real(j, wn_metric_about((wn_metric)m)->name, r->compat[m][c]);
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
  wn_json_end_object(j);
}

static void row(wn_json *j, const wn_evaluation *e, const wn_model_result *r) {
  wn_json_object(j);
  text(j, "model", r->name);
  real(j, "fit_seconds", r->fit_seconds);
  real(j, "rank_seconds", r->rank_seconds);
  real(j, "metric_seconds", r->metric_seconds);
  number(j, "users_without_list", r->users_without_list);
  wn_json_key(j, "at");
  wn_json_array(j);
  for (size_t c = 0; c < e->cutoffs_len; c++) cutoff(j, &r->at[c], c == 0);
  wn_json_end_array(j);
  ties(j, e, r);
  compat(j, e, r);
  comparison(j, "over_popular", &r->over_popular);
  slices(j, r);
  if (e->cold_evaluated > 0) {
    wn_json_key(j, "cold_users");
    wn_json_object(j);
    number(j, "users", e->cold_evaluated);
    number(j, "users_without_list", r->cold_without_list);
    wn_json_key(j, "at");
    wn_json_array(j);
    for (size_t c = 0; c < e->cutoffs_len; c++) cutoff(j, &r->cold[c], false);
    wn_json_end_array(j);
    wn_json_end_object(j);
  }
  wn_json_key(j, "unique_items");
  wn_json_array(j);
  for (size_t i = 0; i < WN_SHARES; i++) wn_json_int(j, r->unique_items[i]);
  wn_json_end_array(j);
  reals(j, "lorenz", r->lorenz, WN_LORENZ_STEPS + 1);
  reals(j, "tpr_by_popularity", r->tpr, WN_TPR_BINS);
  wn_json_end_object(j);
}

static void second(wn_json *j, const wn_evaluation *e) {
  wn_json_key(j, "second_protocol");
  wn_json_object(j);
  text(j, "split", wn_split_name(e->second.kind));
  number(j, "users", e->second.users);
  real(j, "kendall", e->second.kendall);
  wn_json_key(j, "values");
  wn_json_object(j);
  for (size_t i = 0; i < e->rows_len; i++)
    if (!isnan(e->second.value[i])) real(j, e->rows[i].name, e->second.value[i]);
  wn_json_end_object(j);
  wn_json_end_object(j);
}

static void timeline(wn_json *j, const wn_timeline *t) {
  wn_json_key(j, "timeline");
  wn_json_object(j);
  wn_json_key(j, "first_ms");
  wn_json_int(j, t->first_ms);
  wn_json_key(j, "last_ms");
  wn_json_int(j, t->last_ms);
  for (int side = 0; side < 2; side++) {
    wn_json_key(j, side == 0 ? "train" : "test");
    wn_json_array(j);
    for (size_t i = 0; i < WN_TIMELINE; i++)
      wn_json_int(j, (int64_t)(side == 0 ? t->train : t->test)[i]);
    wn_json_end_array(j);
  }
  wn_json_end_object(j);
}

static void guards(wn_json *j, const wn_evaluation *e) {
  static const char *const states[] = {"pass", "warn", "fail"};
  wn_json_key(j, "guards");
  wn_json_array(j);
  for (size_t i = 0; i < e->guards_len; i++) {
    wn_json_object(j);
    text(j, "name", e->guards[i].name);
    text(j, "state", states[e->guards[i].state]);
    text(j, "reason", e->guards[i].reason);
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
  wn_json_key(j, "constant");
  wn_json_array(j);
  for (size_t c = 0; c < e->cutoffs_len; c++) {
    wn_json_object(j);
    number(j, "k", e->rows[0].at[c].k);
    for (int m = 0; m < WN_TIED_METRICS; m++) {
      wn_json_key(j, wn_metric_about((wn_metric)m)->name);
      wn_json_object(j);
      real(j, "expected", e->constant.expected[m][c]);
      real(j, "by_number", e->constant.by_number[m][c]);
      wn_json_end_object(j);
    }
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
}

void wn_evaluation_to_json(const wn_evaluation *e, wn_buf *out) {
  wn_json json, *j = &json;
  wn_json_init(j, out);
  wn_json_object(j);
  wn_json_key(j, "split");
  wn_json_cstring(j, wn_split_name(e->kind));
  wn_json_key(j, "why");
  wn_json_cstring(j, e->why);
  if (e->cut_ms > 0) number(j, "cut_ms", (uint64_t)e->cut_ms);
  number(j, "users", e->users);
  number(j, "items", e->items);
  number(j, "train_events", e->train_events);
  number(j, "train_pairs", e->train_pairs);
  number(j, "test_pairs", e->test_pairs);
  number(j, "cold_test_pairs", e->cold_test_pairs);
  number(j, "users_evaluated", e->users_evaluated);
  number(j, "users_cold", e->users_cold);
  number(j, "users_without_relevant", e->users_without_relevant);
  number(j, "users_not_sampled", e->users_not_sampled);
  number(j, "cold_evaluated", e->cold_evaluated);
  hash(j, "dataset_hash", e->dataset_hash);
  hash(j, "split_hash", e->split_hash);
  hash(j, "population_hash", e->population_hash);
  number(j, "seed", e->seed);
  text(j, "primary", wn_metric_about(e->primary)->name);
  timeline(j, &e->timeline);
  wn_json_key(j, "ranking");
  wn_json_cstring(j, e->ranking);
  wn_json_key(j, "sampled");
  wn_json_bool(j, e->sampled);
  wn_json_key(j, "choices");
  wn_json_double(j, e->choices);
  if (e->dataset_cut) {
    wn_json_key(j, "dataset");
    wn_dataset_report_to_json(&e->dataset, j);
  }
  wn_json_key(j, "interval");
  wn_json_cstring(j, "95%, percentile bootstrap over users");
  wn_json_key(j, "rows");
  wn_json_array(j);
  for (size_t i = 0; i < e->rows_len; i++) row(j, e, &e->rows[i]);
  wn_json_end_array(j);
  guards(j, e);
  if (e->second.rows > 0) second(j, e);
  wn_json_end_object(j);
}
