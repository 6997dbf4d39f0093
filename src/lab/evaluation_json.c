/* An evaluation as JSON: every number with its population, its interval and its baseline beside it.
 */
#include "lab/evaluate.h"

#include "base/json_write.h"

static const char *const kind_names[] = {"time", "leave-last-out", "given", "random", "cold-items"};

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

static void row(wn_json *j, const wn_evaluation *e, const wn_model_result *r) {
  wn_json_object(j);
  wn_json_key(j, "model");
  wn_json_cstring(j, r->name);
  wn_json_key(j, "fit_seconds");
  wn_json_double(j, r->fit_seconds);
  wn_json_key(j, "rank_seconds");
  wn_json_double(j, r->rank_seconds);
  number(j, "users_without_list", r->users_without_list);
  wn_json_key(j, "at");
  wn_json_array(j);
  for (size_t c = 0; c < e->cutoffs_len; c++) {
    const wn_cutoff_result *at = &r->at[c];
    wn_json_object(j);
    number(j, "k", at->k);
    interval(j, "ndcg", at->ndcg);
    interval(j, "recall", at->recall);
    interval(j, "precision", at->precision);
    interval(j, "hit_rate", at->hit);
    interval(j, "mrr", at->mrr);
    interval(j, "map", at->map);
    wn_json_key(j, "coverage");
    wn_json_double(j, at->coverage);
    wn_json_key(j, "gini");
    wn_json_double(j, at->gini);
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
  wn_json_end_object(j);
}

void wn_evaluation_to_json(const wn_evaluation *e, wn_buf *out) {
  wn_json json, *j = &json;
  wn_json_init(j, out);
  wn_json_object(j);
  wn_json_key(j, "split");
  wn_json_cstring(j, kind_names[e->kind]);
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
  wn_json_end_object(j);
}
