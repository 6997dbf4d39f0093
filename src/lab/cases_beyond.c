/* Kinds of beyond.h, and of the ordering stage's definitions: coverage, novelty, diversity,
 * exposure of groups, calibration to a user's mix, MMR and DPP. */
#include "lab/cases_internal.h"
#include "lab/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_MAX 4096
#define DPP_LEAST 1e-10

/* --- lists --- */

typedef struct world {
  wn_lists recs, train, test;
  uint32_t items;
  json_t *users; /* whose order the rows have: train's, then others that got recommendations */
  wn_case_names names;
} world;

/* Items of "catalog", "head", "tail" come first. */
static world read_world(wn_case *c) {
  static const char *const lists[] = {"catalog", "head", "tail"};
  world w = {.users = json_object()};
  for (size_t l = 0; l < 3; l++) {
    const json_t *list = json_object_get(c->input, lists[l]);
    for (size_t i = 0; i < json_array_size(list); i++)
      (void)wn_case_name(&w.names, json_array_get(list, i));
  }
  json_t *train = json_object_get(c->input, "train");
  json_object_update(w.users, train);
  json_object_update_missing(w.users, json_object_get(c->input, "recs"));
  if (train != NULL) w.train = wn_case_lists(c, "train", train, &w.names);
  w.recs = wn_case_lists(c, "recs", w.users, &w.names);
  if (json_object_get(c->input, "test") != NULL)
    w.test = wn_case_lists(c, "test", w.users, &w.names);
  w.items = w.names.len;
  return w;
}

static void clear_world(world *w) {
  json_decref(w->users);
  json_decref(w->names.map);
}

static void coverage_gini_entropy(wn_case *c) {
  world w = read_world(c);
  wn_concentration m;
  if (wn_case_ok(c) && wn_concentration_of(&w.recs, w.items, &m)) {
    wn_case_put(c->got, "catalog_coverage", m.catalog_coverage);
    wn_case_put(c->got, "user_coverage", m.user_coverage);
    wn_case_put(c->got, "gini", m.gini);
    wn_case_put(c->got, "gini_recommended_only", m.gini_recommended_only);
    wn_case_put(c->got, "entropy_bits", m.entropy_bits);
    wn_case_put(c->got, "entropy_normalised", m.entropy_normalised);
    wn_case_put(c->got, "effective_items", m.effective_items);
  }
  clear_world(&w);
}

/* values[users] under the users' names, and their mean under NAME_mean. */
static void put_per_user(wn_case *c, const world *w, const char *name, const double *values,
                         size_t stride) {
  json_t *object = json_object(), *row;
  double sum = 0, count = 0;
  char mean[64];
  const char *user;
  size_t u = 0;
  json_object_foreach(w->users, user, row) {
    double value = values[stride * u++];
    wn_case_put(object, user, value);
    if (isnan(value)) continue;
    sum += value;
    count++;
  }
  snprintf(mean, sizeof mean, "%s_mean", name);
  json_object_set_new(c->got, name, object);
  wn_case_put(c->got, mean, count > 0 ? sum / count : NAN);
}

static void popularity_novelty(wn_case *c) {
  static const char *const names[] = {"arp", "miuf", "self_information", "epc", "serendipity"};
  world w = read_world(c);
  uint32_t k = (uint32_t)wn_case_count(c, "k");
  wn_novelty *m = wn_case_alloc(c, w.recs.users, sizeof *m);
  if (wn_case_ok(c) && w.train.ptr != NULL && w.test.ptr != NULL &&
      wn_novelty_of(&w.recs, &w.train, &w.test, (const uint32_t[]){w.items, k}, m))
    for (size_t i = 0; i < 5; i++)
      put_per_user(c, &w, names[i], (const double *)m + i, sizeof *m / sizeof(double));
  clear_world(&w);
}

static void ild_cooccurrence(wn_case *c) {
  world w = read_world(c);
  wn_list_diversity *m = wn_case_alloc(c, w.recs.users, sizeof *m);
  wn_novelty *n = wn_case_alloc(c, w.recs.users, sizeof *n);
  if (wn_case_ok(c) && w.train.ptr != NULL && w.test.ptr != NULL &&
      wn_list_diversity_of(&w.recs, &w.train, &w.test, w.items, m) &&
      wn_novelty_of(&w.recs, &w.train, &w.test, (const uint32_t[]){w.items, UINT32_MAX}, n)) {
    put_per_user(c, &w, "diversity", &m->diversity, 2);
    put_per_user(c, &w, "serendipity", &m->serendipity, 2);
    put_per_user(c, &w, "novelty_selfinfo", &n->self_information, sizeof *n / sizeof(double));
  }
  clear_world(&w);
}

static void pop_reo_rsp(wn_case *c) {
  world w = read_world(c);
  uint32_t *group = wn_case_alloc(c, w.items, sizeof *group);
  size_t head = json_array_size(wn_case_field(c, "head"));
  wn_group_exposure m;
  if (wn_case_ok(c) && w.train.ptr != NULL && w.test.ptr != NULL) {
    size_t named = head + json_array_size(json_object_get(c->input, "tail"));
    for (uint32_t i = 0; i < w.items; i++) group[i] = i < head ? 0 : i < named ? 1 : UINT32_MAX;
    wn_item_groups groups = {group, w.items, 2};
    if (wn_group_exposure_of(&w.recs, &w.train, &w.test, &groups, &m)) {
      wn_case_put_array(c->got, "p_reo", m.p_reo, 2);
      wn_case_put_array(c->got, "p_rsp", m.p_rsp, 2);
      wn_case_put(c->got, "pop_reo", m.pop_reo);
      wn_case_put(c->got, "pop_rsp", m.pop_rsp);
    }
  }
  clear_world(&w);
}

/* −mean over users of Spearman(popularity, rank) of their test positives. */
static void popularity_rank(wn_case *c) {
  json_t *per_user = json_object(), *excluded = json_array(), *row;
  const char *user;
  double sum = 0, count = 0;
  json_object_foreach((json_t *)(uintptr_t)c->input, user, row) {
    size_t n, m;
    double *x = wn_case_numbers_of(c, json_object_get(row, "popularity"), "popularity", &n);
    double *y = wn_case_numbers_of(c, json_object_get(row, "rank"), "rank", &m);
    if (n != m) c->wrong = "rank";
    if (!wn_case_ok(c)) break;
    double r = n < 2 ? NAN : wn_spearman(x, y, n);
    if (isnan(r)) {
      json_array_append_new(excluded, json_string(user));
      continue;
    }
    wn_case_put(per_user, user, r);
    sum -= r;
    count++;
  }
  json_object_set_new(c->got, "per_user", per_user);
  json_object_set_new(c->got, "excluded", excluded);
  wn_case_put(c->got, "PRU", count > 0 ? sum / count : NAN);
}

/* --- calibration --- */

/* Shares of genres over a list of items, each item's weight split by its genres. */
static void mix(wn_case *c, const char *list, wn_case_names *genres, double *share) {
  const json_t *items = wn_case_field(c, list), *of = wn_case_field(c, "item_genres");
  double total = 0;
  for (size_t i = 0; i < json_array_size(items); i++) {
    const char *item = json_string_value(json_array_get(items, i)), *genre;
    json_t *weight;
    json_object_foreach(json_object_get(of, item != NULL ? item : ""), genre, weight) {
      json_t *name = json_string(genre);
      share[wn_case_name(genres, name)] += json_number_value(weight);
      total += json_number_value(weight);
      json_decref(name);
    }
  }
  for (uint32_t g = 0; g < genres->len; g++) share[g] = total > 0 ? share[g] / total : 0;
}

static void put_mix(json_t *got, const char *name, const wn_case_names *genres,
                    const double *share) {
  json_t *object = json_object(), *at;
  const char *genre;
  json_object_foreach(genres->map, genre, at) {
    double value = share[json_integer_value(at)];
    if (value > 0) wn_case_put(object, genre, value);
  }
  json_object_set_new(got, name, object);
}

static void steck_calibration(wn_case *c) {
  enum { GENRES = 1024 };
  wn_case_names genres = {0};
  double *p = wn_case_alloc(c, GENRES, sizeof *p), *q = wn_case_alloc(c, GENRES, sizeof *q);
  const json_t *of = wn_case_field(c, "item_genres");
  double alpha = wn_case_number(c, "alpha");
  json_t *item, *weight;
  const char *key;
  json_object_foreach((json_t *)(uintptr_t)of, key, item) {
    const char *genre;
    json_object_foreach(item, genre, weight) {
      json_t *name = json_string(genre);
      if (wn_case_name(&genres, name) >= GENRES) c->wrong = "item_genres";
      json_decref(name);
    }
  }
  if (wn_case_ok(c)) {
    mix(c, "history", &genres, p);
    mix(c, "recs", &genres, q);
    double kl = wn_steck_kl(p, q, genres.len, alpha);
    put_mix(c->got, "p", &genres, p);
    put_mix(c->got, "q", &genres, q);
    wn_case_put(c->got, "kl_nats", kl);
    wn_case_put(c->got, "kl_bits", kl / log(2));
    wn_case_put(c->got, "hellinger", wn_hellinger(p, q, genres.len));
    wn_case_put(c->got, "js_bits", wn_js(p, q, genres.len));
  }
  json_decref(genres.map);
}

/* "p" against each other distribution of the input, NAME → kl_NAME. */
static void steck_extremes(wn_case *c) {
  const json_t *p = wn_case_field(c, "p");
  double alpha = wn_case_number(c, "alpha");
  const char *name, *genre;
  json_t *q, *share;
  json_object_foreach((json_t *)(uintptr_t)c->input, name, q) {
    double kl = 0;
    char label[64];
    if (!json_is_object(q) || strcmp(name, "p") == 0) continue;
    json_object_foreach((json_t *)(uintptr_t)p, genre, share) {
      double a = json_number_value(share), b = json_number_value(json_object_get(q, genre));
      kl += wn_steck_kl(&a, &b, 1, alpha);
    }
    snprintf(label, sizeof label, "kl_%s", name);
    wn_case_put(c->got, label, kl);
  }
}

/* --- orders --- */

typedef struct ordering {
  const double *relevance;
  const double *similarity; /* [n × n] */
  size_t n;
} ordering;

static ordering read_ordering(wn_case *c, const char *relevance, const char *similarity) {
  ordering o = {0};
  size_t columns;
  o.relevance = wn_case_numbers(c, relevance, &o.n);
  const json_t *rows = wn_case_field(c, similarity);
  double *all = wn_case_alloc(c, o.n * o.n, sizeof *all);
  if (json_array_size(rows) != o.n || o.n > ORDER_MAX) c->wrong = similarity;
  for (size_t i = 0; wn_case_ok(c) && i < o.n; i++) {
    double *row = wn_case_numbers_of(c, json_array_get(rows, i), similarity, &columns);
    if (columns != o.n) c->wrong = similarity;
    if (wn_case_ok(c)) memcpy(all + i * o.n, row, o.n * sizeof *row);
  }
  o.similarity = all;
  return o;
}

static json_t *indexes(const size_t *order, size_t k) {
  json_t *array = json_array();
  for (size_t i = 0; i < k; i++) json_array_append_new(array, json_integer((json_int_t)order[i]));
  return array;
}

/* argmax λ·relevance − (1 − λ)·max similarity to what was picked; the first has no penalty. */
static void mmr(wn_case *c) {
  ordering o = read_ordering(c, "rel", "sim");
  size_t k = wn_case_count(c, "k");
  size_t *order = wn_case_alloc(c, o.n, sizeof *order);
  const char *lambda_text;
  json_t *expected;
  if (!wn_case_ok(c)) return;
  json_object_foreach((json_t *)(uintptr_t)c->expected, lambda_text, expected) {
    double lambda = strtod(lambda_text, NULL);
    size_t len = 0;
    while (len < k && len < o.n) {
      double most = -INFINITY;
      for (size_t i = 0; i < o.n; i++) {
        double near = len > 0 ? -INFINITY : 0;
        bool picked = false;
        for (size_t j = 0; j < len; j++) {
          near = fmax(near, o.similarity[i * o.n + order[j]]);
          picked |= order[j] == i;
        }
        double value = lambda * o.relevance[i] - (1 - lambda) * near;
        if (picked || value <= most) continue;
        most = value;
        order[len] = i;
      }
      len++;
    }
    json_object_set_new(c->got, lambda_text, indexes(order, len));
  }
}

/* Chen et al. 2018: each pick adds ln d² of the item to ln det; items that add next to nothing
 * (their code's bound) end it. */
static void dpp(wn_case *c) {
  ordering o = read_ordering(c, "q", "S");
  size_t k = wn_case_count(c, "k"), n = o.n;
  size_t *order = wn_case_alloc(c, n, sizeof *order);
  double *d = wn_case_alloc(c, n, sizeof *d), *e = wn_case_alloc(c, n * n, sizeof *e);
  double log_det = 0;
  char name[32];
  if (!wn_case_ok(c)) return;
  for (size_t i = 0; i < n; i++) d[i] = o.relevance[i] * o.relevance[i] * o.similarity[i * n + i];
  for (size_t t = 0; t < n; t++) {
    size_t best = n;
    for (size_t i = 0; i < n; i++)
      if (d[i] > DPP_LEAST && (best == n || d[i] > d[best])) best = i;
    if (best == n) break;
    double root = sqrt(d[best]);
    log_det += log(d[best]);
    order[t] = best;
    for (size_t i = 0; i < n; i++) {
      if (i == best) continue;
      double l = o.relevance[i] * o.relevance[best] * o.similarity[best * n + i];
      for (size_t s = 0; s < t; s++) l -= e[best * n + s] * e[i * n + s];
      e[i * n + t] = l / root;
      d[i] -= e[i * n + t] * e[i * n + t];
    }
    d[best] = -INFINITY;
    snprintf(name, sizeof name, "order_k%zu", t + 1);
    json_object_set_new(c->got, name, indexes(order, t + 1));
    snprintf(name, sizeof name, "logdet_k%zu", t + 1);
    wn_case_put(c->got, name, log_det);
    if (t < k) json_object_set_new(c->got, "order", indexes(order, t + 1));
  }
}

const wn_case_kind wn_cases_beyond[] = {{"coverage_gini_entropy", coverage_gini_entropy},
                                        {"popularity_novelty", popularity_novelty},
                                        {"ild_cooccurrence", ild_cooccurrence},
                                        {"pop_reo_rsp", pop_reo_rsp},
                                        {"popularity_rank_correlation_items", popularity_rank},
                                        {"steck_calibration", steck_calibration},
                                        {"steck_calibration_extremes", steck_extremes},
                                        {"mmr", mmr},
                                        {"dpp_greedy_map", dpp},
                                        {NULL, NULL}};
