/* Kinds of metrics.h, scored.h and stats.h: lists against relevant items, scores against labels,
 * paired tests, slices. */
#include "lab/cases_internal.h"
#include "lab/scored.h"
#include "base/special.h"
#include "lab/stats.h"

#include <string.h>

#define FLIPS   200000
#define SAMPLES 20000
#define SEED    1

/* --- lists --- */

typedef struct judged {
  uint32_t *list;
  size_t len;
  wn_relevant relevant;
} judged;

/* {"ranked": [...], "relevant": {item: gain} or [item, ...]}: relevant items are numbered first, so
 * ascending. */
static judged read_judged(wn_case *c, const json_t *user) {
  wn_case_names names = {0};
  judged out = {0};
  const json_t *ranked = json_object_get(user, "ranked"),
               *relevant = json_object_get(user, "relevant");
  const char *item;
  json_t *gain;
  if (!json_is_array(ranked)) c->wrong = "ranked";
  if (!json_is_object(relevant) && !json_is_array(relevant)) c->wrong = "relevant";
  out.len = json_array_size(ranked);
  out.list = wn_case_alloc(c, out.len, sizeof *out.list);
  size_t most = json_object_size(relevant) + json_array_size(relevant);
  uint32_t *items = wn_case_alloc(c, most, sizeof *items);
  double *gains = wn_case_alloc(c, most, sizeof *gains);
  if (!wn_case_ok(c)) return out;
  for (size_t i = 0; i < json_array_size(relevant); i++) { /* without gains: 1 each, once */
    uint32_t number = wn_case_name(&names, json_array_get(relevant, i));
    if (number != out.relevant.len) continue;
    items[out.relevant.len] = number;
    gains[out.relevant.len++] = 1;
  }
  json_object_foreach((json_t *)(uintptr_t)relevant, item, gain) {
    json_t *name = json_string(item);
    if (json_number_value(gain) > 0) {
      items[out.relevant.len] = wn_case_name(&names, name);
      gains[out.relevant.len++] = json_number_value(gain);
    }
    json_decref(name);
  }
  for (size_t i = 0; i < out.len; i++) {
    out.list[i] = wn_case_name(&names, json_array_get(ranked, i));
    if (out.list[i] == WN_NO_IX) c->wrong = "ranked";
  }
  out.relevant.items = items;
  out.relevant.gain = gains;
  json_decref(names.map);
  return out;
}

static void put_metrics(json_t *got, const wn_ranking_metrics *m) {
  const struct {
    const char *name;
    double value;
  } all[] = {{"precision", m->precision},
             {"recall", m->recall},
             {"recall_capped", m->recall_capped},
             {"hit", m->hit},
             {"mrr", m->mrr},
             {"ap_over_R", m->ap_over_R},
             {"ap_over_min", m->ap_over_min},
             {"dcg", m->dcg},
             {"ndcg", m->ndcg},
             {"f1", m->f1},
             {"ndcg_exp2", m->ndcg_exp2},
             {"dcg_exp2", m->dcg_exp2}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_case_put(got, all[i].name, all[i].value);
}

static void ranking_user(wn_case *c) {
  wn_ranking_metrics m;
  judged user = read_judged(c, c->input);
  size_t k = wn_case_count(c, "k");
  if (!wn_case_ok(c)) return;
  wn_ranking_metrics_of(user.list, user.len, &user.relevant, k, &m);
  if (user.relevant.len == 0) /* left out of every mean */
    for (size_t i = 0; i < sizeof m / sizeof(double); i++) ((double *)&m)[i] = NAN;
  put_metrics(c->got, &m);
  json_object_set_new(c->got, "excluded", json_boolean(user.relevant.len == 0));
}

static void ranking_aggregate(wn_case *c) {
  const json_t *users = wn_case_field(c, "users");
  size_t k = wn_case_count(c, "k"), evaluated = 0, no_relevant = 0, no_recs = 0;
  wn_ranking_metrics sum = {0};
  double *total = (double *)&sum;
  const char *name;
  json_t *user;
  json_object_foreach((json_t *)(uintptr_t)users, name, user) {
    wn_ranking_metrics m;
    judged j = read_judged(c, user);
    if (!wn_case_ok(c)) return;
    if (j.relevant.len == 0) {
      no_relevant++;
      continue;
    }
    wn_ranking_metrics_of(j.list, j.len, &j.relevant, k, &m);
    for (size_t i = 0; i < sizeof m / sizeof(double); i++) total[i] += ((double *)&m)[i];
    evaluated++;
    no_recs += j.len == 0;
  }
  const struct {
    const char *name;
    size_t users;
  } means[] = {{"mean", evaluated}, {"mean_if_users_without_recs_dropped", evaluated - no_recs}};
  for (size_t way = 0; way < 2; way++) {
    wn_ranking_metrics mean;
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof mean / sizeof(double); i++)
      ((double *)&mean)[i] = means[way].users > 0 ? total[i] / (double)means[way].users : NAN;
    put_metrics(object, &mean);
    json_object_set_new(c->got, means[way].name, object);
  }
  wn_case_put(c->got, "n_users_evaluated", (double)evaluated);
  wn_case_put(c->got, "n_users_no_relevant", (double)no_relevant);
  wn_case_put(c->got, "n_users_no_recs", (double)no_recs);
}

/* Gains: of the scored items, then of relevant ones that were not scored. */
static void ranking_ties(wn_case *c) {
  size_t n, known;
  const json_t *items = wn_case_field(c, "items"), *relevant = wn_case_field(c, "relevant");
  double *score = wn_case_numbers(c, "scores", &n);
  size_t k = wn_case_count(c, "k");
  double *gain = wn_case_alloc(c, n + json_object_size(relevant), sizeof *gain);
  json_t *scored = json_object(), *of;
  const char *item;
  wn_tied_metrics m;
  if (json_array_size(items) != n) c->wrong = "items";
  for (size_t i = 0; wn_case_ok(c) && i < n; i++) {
    char room[WN_CASE_ID];
    const char *name = wn_case_text(json_array_get(items, i), room);
    if (name == NULL) c->wrong = "items";
    if (name == NULL) break;
    gain[i] = json_number_value(json_object_get(relevant, name));
    json_object_set_new(scored, name, json_true());
  }
  known = n;
  json_object_foreach((json_t *)(uintptr_t)relevant, item, of) {
    if (!wn_case_ok(c)) break;
    if (json_object_get(scored, item) == NULL) gain[known++] = json_number_value(of);
  }
  json_decref(scored);
  if (!wn_case_ok(c) || !wn_tied_metrics_of(score, gain, n, known, k, &m)) return;
  const struct {
    const char *name;
    const wn_ranking_metrics *m;
  } all[] = {{"expected", &m.expected}, {"optimistic", &m.best}, {"pessimistic", &m.worst}};
  for (size_t i = 0; i < 3; i++) {
    json_t *object = json_object();
    put_metrics(object, all[i].m);
    json_object_set_new(c->got, all[i].name, object);
  }
}

/* --- scores --- */

static void auc(wn_case *c) {
  size_t n, m;
  double *y = wn_case_numbers(c, "y", &n), *score = wn_case_numbers(c, "score", &m);
  uint8_t *label = wn_case_alloc(c, n, 1);
  wn_areas areas;
  if (n != m) c->wrong = "score";
  if (!wn_case_ok(c)) return;
  for (size_t i = 0; i < n; i++) label[i] = y[i] > 0;
  if (!wn_areas_of(score, label, n, &areas)) return;
  wn_case_put(c->got, "roc_auc", areas.roc_auc);
  wn_case_put(c->got, "average_precision", areas.average_precision);
}

static void probability_calibration(wn_case *c) {
  size_t n, m;
  double *p = wn_case_numbers(c, "p", &n), *y = wn_case_numbers(c, "y", &m);
  size_t bins = wn_case_count(c, "bins");
  wn_reliability r;
  if (n != m) c->wrong = "y";
  if (!wn_case_ok(c) || !wn_reliability_of(p, y, n, bins, &r)) return;
  wn_case_put(c->got, "ece", r.ece);
  wn_case_put(c->got, "mce", r.mce);
  wn_case_put(c->got, "brier", r.brier);
  wn_case_put(c->got, "logloss", r.log_loss);
  wn_case_put(c->got, "calibration_ratio", r.ratio);
}

/* Means over users with one relevant item each, ranked among n, and among m sampled ones. */
static void sampled_metrics(wn_case *c) {
  const json_t *ranks = wn_case_field(c, "ranks");
  double n = wn_case_number(c, "n");
  size_t m = wn_case_count(c, "m");
  json_t *exact = json_object(), *sampled = json_object(), *list, *flip = json_object();
  const char *name;
  double ap[2][2] = {{0}}; /* of A and C, exactly and sampled */
  json_object_foreach((json_t *)(uintptr_t)ranks, name, list) {
    size_t len;
    double *rank = wn_case_numbers_of(c, list, "ranks", &len);
    for (int way = 0; way < 2; way++) {
      wn_sampled_metrics mean = {0};
      json_t *object = json_object();
      for (size_t i = 0; rank != NULL && i < len; i++) {
        wn_sampled_metrics one = wn_sampled_metrics_of(rank[i], n, way == 0 ? 0 : m, 10);
        mean.auc += one.auc / (double)len;
        mean.ap += one.ap / (double)len;
        mean.ndcg += one.ndcg / (double)len;
        mean.recall += one.recall / (double)len;
      }
      wn_case_put(object, "auc", mean.auc);
      wn_case_put(object, "ap", mean.ap);
      wn_case_put(object, "ndcg", mean.ndcg);
      wn_case_put(object, "recall10", mean.recall);
      if (strcmp(name, "A") == 0) ap[0][way] = mean.ap;
      if (strcmp(name, "C") == 0) ap[1][way] = mean.ap;
      json_object_set_new(way == 0 ? exact : sampled, name, object);
    }
  }
  json_object_set_new(flip, "exact_C_gt_A", json_boolean(ap[1][0] > ap[0][0]));
  json_object_set_new(flip, "sampled_A_gt_C", json_boolean(ap[0][1] > ap[1][1]));
  json_object_set_new(c->got, "exact", exact);
  json_object_set_new(c->got, "sampled", sampled);
  json_object_set_new(c->got, "flip", flip);
}

/* --- users --- */

static void paired_tests(wn_case *c) {
  size_t n, m;
  double *a = wn_case_numbers(c, "a", &n), *b = wn_case_numbers(c, "b", &m);
  if (n != m) c->wrong = "b";
  if (!wn_case_ok(c)) return;
  wn_paired p = wn_paired_tests(b, a, n, FLIPS, SEED); /* what b has over a */
  wn_case_put(c->got, "mean_diff", p.difference.value);
  wn_case_put(c->got, "t", p.t);
  wn_case_put(c->got, "t_p", p.difference.p);
  wn_case_put_pair(c->got, "ci95", p.difference.low, p.difference.high);
  wn_case_put(c->got, "wilcoxon_W", p.wilcoxon_w);
  wn_case_put(c->got, "wilcoxon_p", p.wilcoxon_p);
  wn_case_put(c->got, "randomization_p", p.flip_p);
}

static void slice_ci(wn_case *c) {
  const json_t *segment = wn_case_field(c, "segment");
  const char *values_name = json_object_get(c->input, "metric") != NULL ? "metric" : "value";
  size_t n, len;
  double *value = wn_case_numbers(c, values_name, &n), recombined = 0;
  double *of_slice = wn_case_alloc(c, n, sizeof *of_slice);
  json_t *slices = json_object();
  json_object_set_new(c->got, "slices", slices);
  if (json_array_size(segment) != n) c->wrong = "segment";
  if (!wn_case_ok(c)) return;
  for (size_t first = 0; first < n; first++) {
    char room[WN_CASE_ID];
    const char *name = wn_case_text(json_array_get(segment, first), room);
    if (name == NULL || json_object_get(slices, name) != NULL) continue;
    len = 0;
    for (size_t i = first; i < n; i++)
      if (json_equal(json_array_get(segment, i), json_array_get(segment, first)))
        of_slice[len++] = value[i];
    wn_estimate e = wn_t_interval(of_slice, len, 0.05);
    json_t *slice = json_object();
    wn_case_put(slice, "n", (double)len);
    wn_case_put(slice, "mean", e.value);
    wn_case_put_pair(slice, "ci95", e.low, e.high);
    json_object_set_new(slices, name, slice);
    recombined += e.value * (double)len / (double)n;
  }
  wn_interval all = wn_bootstrap_mean(value, n, SAMPLES, SEED);
  wn_case_put(c->got, "overall", all.mean);
  wn_case_put(c->got, "recombined", recombined);
  wn_case_put_pair(c->got, "bootstrap_ci95", all.low, all.high);
}

/* Minus the mean over slices of |miss rate − the whole's|. */
static void slice_equality(wn_case *c) {
  const char *name;
  json_t *slice;
  double misses = 0, users = 0, gap = 0, slices = 0;
  json_object_foreach((json_t *)(uintptr_t)c->input, name, slice) {
    double n = json_number_value(json_object_get(slice, "n"));
    misses += n * json_number_value(json_object_get(slice, "miss_rate"));
    users += n;
    slices++;
  }
  json_object_foreach((json_t *)(uintptr_t)c->input, name, slice) gap +=
      fabs(json_number_value(json_object_get(slice, "miss_rate")) - misses / users);
  wn_case_put(c->got, "overall", misses / users);
  wn_case_put(c->got, "mred", -gap / slices);
}

const wn_case_kind wn_cases_ranking[] = {{"ranking_user", ranking_user},
                                         {"ranking_aggregate", ranking_aggregate},
                                         {"ranking_ties", ranking_ties},
                                         {"auc", auc},
                                         {"probability_calibration", probability_calibration},
                                         {"sampled_metrics", sampled_metrics},
                                         {"paired_tests", paired_tests},
                                         {"slice_ci", slice_ci},
                                         {"slice_equality", slice_equality},
                                         {NULL, NULL}};
