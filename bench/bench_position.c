/* What is done about places (`position:` of an objective), measured where the truth is known:
 *   bench_position simulate        slates of a made-up policy, looks 1 / place
 *   bench_position coat FOLDER     ratings that users chose to give as slates, judged on those of
 *                                  items drawn by chance (Schnabel et al. 2016)
 * The rows go to the same fit as those of a server's log. */
#include "base/mem.h"
#include "base/rng.h"
#include "model/ranker.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEATURES_MAX 64
#define SEEDS        3

typedef struct table {
  wn_objective_rows rows;
  size_t cap;
} table;

static float *add_row(table *t, uint64_t unit, unsigned place, double propensity, bool success) {
  wn_objective_rows *r = &t->rows;
  size_t i = r->rows++;
  if (i == t->cap) {
    t->cap = t->cap > 0 ? 2 * t->cap : 4096;
    r->feature = wn_reallocarray(r->feature, t->cap * r->features, sizeof *r->feature);
    r->weight = wn_reallocarray(r->weight, t->cap, sizeof *r->weight);
    r->success = wn_reallocarray(r->success, t->cap, 1);
    r->unit = wn_reallocarray(r->unit, t->cap, sizeof *r->unit);
    r->place = wn_reallocarray(r->place, t->cap, sizeof *r->place);
    r->propensity = wn_reallocarray(r->propensity, t->cap, sizeof *r->propensity);
    if (r->feature == NULL || r->weight == NULL || r->success == NULL || r->unit == NULL ||
        r->place == NULL || r->propensity == NULL)
      abort();
  }
  r->weight[i] = 1;
  r->success[i] = success;
  r->unit[i] = wn_mix64(unit);
  r->place[i] = (uint16_t)place;
  r->propensity[i] = (float)propensity;
  float *f = r->feature + i * r->features;
  f[r->features - 1] = 1; /* the place's column */
  return f;
}

static void fit(table *t, unsigned method, uint64_t seed, wn_objective_model *out) {
  wn_error err = {0};
  wn_fit_env env = {.seed = seed};
  wn_boost_options o = {100, 4, 0.1, false, seed, "", (uint32_t)t->rows.features - 1, NULL};
  memset(out, 0, sizeof *out);
  snprintf(out->head.spec.name, sizeof out->head.spec.name, "bench");
  out->head.spec.position = method;
  t->rows.source = WN_OBJECTIVE_IMPRESSIONS;
  if (wn_objective_fit(&t->rows, 0, &o, &env, out, &err) != WN_OK || out->forest.trees.count == 0) {
    fprintf(stderr, "no model: %s\n", err.message);
    exit(1);
  }
}

static double p_of(const wn_objective_model *m, const float *row, size_t features) {
  float p;
  wn_objective_predict(
      m, &(wn_feature_rows){.feature = (float *)(uintptr_t)row, .len = 1, .features = features},
      &p);
  return (double)p;
}

/* --- measures --- */

typedef struct guess {
  double p, gain;
} guess;

static int by_p(const void *a, const void *b) {
  const guess *x = a, *y = b;
  return (x->p < y->p) - (x->p > y->p);
}
static int by_gain(const void *a, const void *b) {
  const guess *x = a, *y = b;
  return (x->gain < y->gain) - (x->gain > y->gain);
}
static double dcg(const guess *g, size_t n, size_t k) {
  double sum = 0;
  for (size_t i = 0; i < n && i < k; i++) sum += g[i].gain / log2((double)i + 2);
  return sum;
}
static double ndcg(guess *g, size_t n, size_t k) {
  qsort(g, n, sizeof *g, by_p);
  double got = dcg(g, n, k);
  qsort(g, n, sizeof *g, by_gain);
  double best = dcg(g, n, k);
  return best > 0 ? got / best : (double)NAN;
}

typedef struct score {
  double ndcg, error, brier;
  size_t n, cells;
} score;

static void print(const char *name, const score *s, const wn_objective_model *m) {
  printf("%-28s NDCG %.4f  mean p - truth %+.4f  Brier %.4f  seen at 2, 5, 10: %.2f %.2f %.2f%s\n",
         name, s->ndcg / (double)s->n, s->error / (double)s->cells, s->brier / (double)s->cells,
         (double)m->head.seen[2], (double)m->head.seen[5], (double)m->head.seen[10],
         m->head.by_chance ? " by chance" : "");
}

/* --- simulation --- */

enum { TRAITS = 6, POOL = 40, SLATE = 10, SLATES = 5000, TESTS = 500 };

static double truth(const float *x) {
  double z = -1.5 + 1.2 * (double)x[0] + 0.8 * (double)x[1] * (double)x[2] - 0.7 * (double)x[3];
  return 1 / (1 + exp(-z));
}

static double normal(wn_rng *rng) {
  return sqrt(-2 * log(1 - wn_rng_double(rng))) * cos(6.283185307179586 * wn_rng_double(rng));
}

/* The old policy knows x0 and little else; `chance` of the slates are in an order drawn by chance.
 */
static void simulate_log(table *t, double chance, wn_rng *rng) {
  for (uint64_t s = 0; s < SLATES; s++) {
    float x[POOL][TRAITS];
    guess order[POOL];
    bool drawn = wn_rng_double(rng) < chance;
    for (size_t i = 0; i < POOL; i++) {
      for (size_t f = 0; f < TRAITS; f++) x[i][f] = (float)normal(rng);
      order[i] =
          (guess){drawn ? wn_rng_double(rng) : (double)x[i][0] + 0.5 * normal(rng), (double)i};
    }
    qsort(order, POOL, sizeof *order, by_p);
    for (unsigned k = 0; k < SLATE; k++) {
      const float *of = x[(size_t)order[k].gain];
      bool success = wn_rng_double(rng) < truth(of) / (k + 1);
      memcpy(add_row(t, s, k + 1, drawn ? 1.0 / (POOL - k) : 1, success), of, sizeof x[0]);
    }
  }
}

static void judge(const wn_objective_model *m, wn_rng *rng, score *s) {
  for (size_t q = 0; q < TESTS; q++) {
    guess g[POOL];
    for (size_t i = 0; i < POOL; i++) {
      float x[TRAITS + 1];
      for (size_t f = 0; f < TRAITS; f++) x[f] = (float)normal(rng);
      x[TRAITS] = 1;
      g[i] = (guess){p_of(m, x, TRAITS + 1), truth(x)};
      s->error += g[i].p - g[i].gain;
      s->brier += (g[i].p - g[i].gain) * (g[i].p - g[i].gain);
      s->cells++;
    }
    s->ndcg += ndcg(g, POOL, 10);
    s->n++;
  }
}

static void simulate(void) {
  for (int slice = 0; slice < 2; slice++)
    for (unsigned method = 0; method < WN_POSITION_METHODS; method++) {
      score s = {0};
      wn_objective_model m;
      char name[64];
      for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        table t = {.rows.features = TRAITS + 1};
        wn_rng rng;
        wn_rng_seed(&rng, seed);
        simulate_log(&t, slice ? 0.1 : 0, &rng);
        fit(&t, method, seed, &m);
        judge(&m, &rng, &s);
        wn_objective_rows_clear(&t.rows);
        if (seed < SEEDS) wn_forest_clear(&m.forest);
      }
      snprintf(name, sizeof name, "%s, %s", wn_position_method_name(method),
               slice ? "10% by chance" : "none by chance");
      print(name, &s, &m);
      wn_forest_clear(&m.forest);
    }
}

/* --- Coat --- */

enum { USERS = 290, ITEMS = 300, OF_USER = 14, OF_ITEM = 33, SESSIONS = 8, GOOD = 4 };

typedef struct coat {
  float train[USERS][ITEMS], test[USERS][ITEMS], user[USERS][OF_USER], item[ITEMS][OF_ITEM];
  float propensity[USERS][ITEMS];
} coat;

static void read_matrix(const char *folder, const char *name, float *out, size_t cells) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "r");
  for (size_t i = 0; i < cells; i++)
    if (file == NULL || fscanf(file, "%f", &out[i]) != 1) {
      fprintf(stderr, "%s: expected %zu numbers\n", path, cells);
      exit(1);
    }
  fclose(file);
}

static void describe(const coat *c, size_t u, size_t i, float *row) {
  memcpy(row, c->user[u], sizeof c->user[u]);
  memcpy(row + OF_USER, c->item[i], sizeof c->item[i]);
}

typedef struct coat_how {
  bool looks;
  double chance; /* share of slates in an order drawn by chance */
  double clip;   /* > 0: rows weigh 1 / propensity of being rated at all, at most so much */
} coat_how;

/* A user's own ratings as slates: best items by everybody's mean and noise first; looks 1 / place.
 * looks false: all is seen, as if there were no bias. */
static void coat_log(const coat *c, const coat_how *how, wn_rng *rng, table *t) {
  float mean[ITEMS];
  for (size_t i = 0; i < ITEMS; i++) {
    float sum = 2.5f, n = 1;
    for (size_t u = 0; u < USERS; u++) sum += c->train[u][i], n += c->train[u][i] > 0;
    mean[i] = sum / n;
  }
  for (size_t u = 0; u < USERS; u++)
    for (size_t s = 0; s < SESSIONS; s++) {
      guess order[ITEMS];
      size_t n = 0;
      bool drawn = wn_rng_double(rng) < how->chance;
      for (size_t i = 0; i < ITEMS; i++)
        if (c->train[u][i] > 0)
          order[n++] =
              (guess){drawn ? wn_rng_double(rng) : (double)mean[i] + 0.3 * normal(rng), (double)i};
      qsort(order, n, sizeof *order, by_p);
      for (size_t k = 0; k < n; k++) {
        size_t i = (size_t)order[k].gain;
        bool seen = !how->looks || wn_rng_double(rng) < 1.0 / (double)(k + 1);
        describe(c, u, i,
                 add_row(t, u, (unsigned)k + 1, drawn ? 1.0 / (double)(n - k + 1) : 1,
                         seen && c->train[u][i] >= GOOD));
        if (how->clip > 0)
          t->rows.weight[t->rows.rows - 1] =
              (float)fmin(1 / (double)c->propensity[u][i], how->clip);
      }
    }
}

static void coat_judge(const coat *c, const wn_objective_model *m, score *s) {
  for (size_t u = 0; u < USERS; u++) {
    guess g[ITEMS];
    size_t n = 0;
    for (size_t i = 0; i < ITEMS; i++) {
      float row[OF_USER + OF_ITEM + 1];
      if (!(c->test[u][i] > 0)) continue;
      describe(c, u, i, row);
      row[OF_USER + OF_ITEM] = 1;
      g[n] = (guess){p_of(m, row, OF_USER + OF_ITEM + 1), c->test[u][i] >= GOOD};
      s->error += g[n].p - g[n].gain;
      s->brier += (g[n].p - g[n].gain) * (g[n].p - g[n].gain);
      s->cells++;
      n++;
    }
    double of = ndcg(g, n, 5);
    if (isnan(of)) continue;
    s->ndcg += of;
    s->n++;
  }
}

static void coat_run(const coat *c, const char *name, unsigned method, coat_how how) {
  score s = {0};
  wn_objective_model m;
  for (uint64_t seed = 1; seed <= SEEDS; seed++) {
    table t = {.rows.features = OF_USER + OF_ITEM + 1};
    wn_rng rng;
    wn_rng_seed(&rng, seed);
    coat_log(c, &how, &rng, &t);
    fit(&t, method, seed, &m);
    coat_judge(c, &m, &s);
    wn_objective_rows_clear(&t.rows);
    if (seed < SEEDS) wn_forest_clear(&m.forest);
  }
  print(name, &s, &m);
  wn_forest_clear(&m.forest);
}

static void run_coat(const char *folder) {
  static coat c;
  char name[64];
  read_matrix(folder, "train.ascii", c.train[0], sizeof c.train / sizeof(float));
  read_matrix(folder, "test.ascii", c.test[0], sizeof c.test / sizeof(float));
  read_matrix(folder, "user_features.ascii", c.user[0], sizeof c.user / sizeof(float));
  read_matrix(folder, "item_features.ascii", c.item[0], sizeof c.item / sizeof(float));
  read_matrix(folder, "propensities.ascii", c.propensity[0], sizeof c.propensity / sizeof(float));
  coat_run(&c, "all seen", WN_POSITION_NONE, (coat_how){false, 0, 0});
  coat_run(&c, "all seen, ips", WN_POSITION_NONE, (coat_how){false, 0, 1e9});
  coat_run(&c, "all seen, ips clipped at 20", WN_POSITION_NONE, (coat_how){false, 0, 20});
  for (int chance = 0; chance < 2; chance++)
    for (unsigned method = 0; method < WN_POSITION_METHODS; method++) {
      snprintf(name, sizeof name, "%s, %s", wn_position_method_name(method),
               chance ? "10% by chance" : "none by chance");
      coat_run(&c, name, method, (coat_how){true, chance * 0.1, 0});
    }
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "simulate") == 0)
    simulate();
  else if (argc == 3 && strcmp(argv[1], "coat") == 0)
    run_coat(argv[2]);
  else
    return fprintf(stderr, "usage: bench_position simulate | coat FOLDER\n"), 2;
  return 0;
}
