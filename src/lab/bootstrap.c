/* A resample is a count of how often each user was drawn, and a column's sum is counts · x: sixteen
 * resamples at a time times all columns is a matrix product whose blocks stay in cache. Against a
 * draw a column that is some ten times faster, for the draws are made once.
 *
 * Costs: samples × n draws, 2 × samples × n × columns multiply-adds. Memory: 16 counts a user and
 * thread, samples × columns sums. Each block of resamples has a seed of its own and sums run in
 * user order: the same digits for any thread count. */
#include "lab/bootstrap.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 16  /* resamples at a time */
#define USERS 256 /* users at a time */

typedef struct job {
  wn_bootstrap_column *columns;
  size_t count, n, samples;
  uint64_t seed;
  double *mean;    /* [count × samples] */
  uint16_t *drawn; /* [threads × n × BLOCK] */
  bool *plain;     /* [count] every user counts once */
} job;

/* A draw of one user 65,536 times in n draws does not happen. */
static void draw(const job *j, size_t block, uint16_t *drawn) {
  memset(drawn, 0, j->n * BLOCK * sizeof *drawn);
  for (size_t s = 0; s < BLOCK; s++) {
    wn_rng rng;
    wn_rng_seed(&rng, j->seed + block * BLOCK + s);
    for (size_t i = 0; i < j->n; i++) {
      /* 32 bits are plenty for a row number; the bias of the multiplication is below n/2^32. */
      size_t at = (size_t)(((wn_rng_next(&rng) >> 32) * (uint64_t)j->n) >> 32);
      drawn[at * BLOCK + s]++;
    }
  }
}

/* sums += counts of these users · x, and the weights' likewise unless `plain`. */
static void add_users(const wn_bootstrap_column *c, bool plain, size_t begin, size_t end,
                      double counts[USERS][BLOCK], double sums[2][BLOCK]) {
  double x_sum[BLOCK], w_sum[BLOCK];
  memcpy(x_sum, sums[0], sizeof x_sum);
  memcpy(w_sum, sums[1], sizeof w_sum);
  for (size_t u = begin; u < end; u++) {
    double w = c->weight != NULL ? c->weight[u] : 1, x = c->x[u] * w;
    if (!plain && isnan(c->x[u])) x = w = 0;
    const double *count = counts[u - begin];
    for (size_t s = 0; s < BLOCK; s++) x_sum[s] += count[s] * x;
    for (size_t s = 0; s < BLOCK && !plain; s++) w_sum[s] += count[s] * w;
  }
  memcpy(sums[0], x_sum, sizeof x_sum);
  memcpy(sums[1], w_sum, sizeof w_sum);
}

static void block_of(const job *j, size_t block, uint16_t *drawn, double (*sums)[2][BLOCK]) {
  double counts[USERS][BLOCK];
  draw(j, block, drawn);
  for (size_t begin = 0; begin < j->n; begin += USERS) {
    size_t end = begin + USERS < j->n ? begin + USERS : j->n;
    for (size_t i = 0; i < (end - begin) * BLOCK; i++)
      counts[i / BLOCK][i % BLOCK] = drawn[begin * BLOCK + i];
    for (size_t c = 0; c < j->count; c++)
      add_users(&j->columns[c], j->plain[c], begin, end, counts, sums[c]);
  }
  for (size_t c = 0; c < j->count; c++)
    for (size_t s = 0; s < BLOCK && block * BLOCK + s < j->samples; s++) {
      double weight = j->plain[c] ? (double)j->n : sums[c][1][s];
      j->mean[c * j->samples + block * BLOCK + s] = weight > 0 ? sums[c][0][s] / weight : NAN;
    }
}

static void blocks(void *ctx, size_t begin, size_t end, int worker) {
  const job *j = ctx;
  double(*sums)[2][BLOCK] = wn_calloc(j->count, sizeof *sums);
  for (size_t block = begin; sums != NULL && block < end; block++) {
    memset(sums, 0, j->count * sizeof *sums);
    block_of(j, block, j->drawn + (size_t)worker * j->n * BLOCK, sums);
  }
  wn_free(sums);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Sorts, resamples without anybody to count last. */
static void interval_of(double *mean, size_t samples, wn_interval *out) {
  size_t n = 0;
  for (size_t s = 0; s < samples; s++)
    if (!isnan(mean[s])) mean[n++] = mean[s];
  out->low = out->high = out->mean;
  if (n < 2) return;
  qsort(mean, n, sizeof *mean, ascending);
  out->low = mean[(size_t)(0.025 * (double)(n - 1))];
  out->high = mean[(size_t)ceil(0.975 * (double)(n - 1))];
}

static bool means(const job *j) {
  for (size_t c = 0; c < j->count; c++) {
    wn_bootstrap_column *column = &j->columns[c];
    double sum = 0, weight = 0;
    j->plain[c] = column->weight == NULL;
    for (size_t u = 0; u < j->n; u++) {
      double w = column->weight != NULL ? column->weight[u] : 1;
      if (isnan(column->x[u])) j->plain[c] = false;
      if (isnan(column->x[u])) continue;
      sum += column->x[u] * w;
      weight += w;
    }
    double mean = weight > 0 ? sum / weight : NAN;
    double bound = j->n > 1 ? mean : NAN; /* one user tells nothing about others */
    column->out = (wn_interval){mean, bound, bound};
  }
  return true;
}

bool wn_bootstrap_columns(wn_pool *pool, wn_bootstrap_column *columns, size_t count, size_t n,
                          const uint64_t samples_seed[2]) {
  job j = {columns, count, n, (size_t)samples_seed[0], samples_seed[1], NULL, NULL, NULL};
  size_t threads = (size_t)wn_pool_threads(pool);
  j.plain = wn_calloc(count + 1, sizeof *j.plain);
  bool done = j.plain != NULL && means(&j);
  if (done && j.samples > 1 && n > 1) {
    j.mean = wn_reallocarray(NULL, count * j.samples + 1, sizeof *j.mean);
    j.drawn = wn_reallocarray(NULL, threads * n * BLOCK, sizeof *j.drawn);
    done = j.mean != NULL && j.drawn != NULL;
    for (size_t i = 0; done && i < count * j.samples; i++) j.mean[i] = NAN;
    if (done) wn_pool_run(pool, (j.samples + BLOCK - 1) / BLOCK, 1, blocks, &j);
    for (size_t c = 0; done && c < count; c++)
      interval_of(j.mean + c * j.samples, j.samples, &columns[c].out);
  }
  wn_free(j.plain);
  wn_free(j.mean);
  wn_free(j.drawn);
  return done;
}
