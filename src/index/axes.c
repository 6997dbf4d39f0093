/* Codes of fewer dimensions. Vectors that a model learned seldom fill their space: along the
 * principal axes of the rows, the first p of d dimensions hold nearly all of an inner product, and
 * Cauchy–Schwarz bounds what the others add (FEXIPRO: Li, Chan, Yiu and Mamoulis, SIGMOD 2017). So
 * codes are of p dimensions, and what is left out widens a score's interval (codes.h): fewer bytes
 * and fewer products for every row, a few more rows to score in fp32. Departures: the rest has no
 * codes at all, because the rows that the first part leaves are about those that are scored in fp32
 * anyway; and within the p axes a random rotation spreads the energy, so that one step fits all
 * dimensions of a code.
 *
 * The axes come by simultaneous iteration on the second moments of a sample (Halko, Martinsson and
 * Tropp, SIAM Review 53, 2011, without its final decomposition: the axes of near variances may
 * mix). p is the cheapest by what 32 sample queries find in the sample: a code's dimension costs 1
 * for each of 64 lanes a result, a row in fp32 costs 16 a dimension, and at most one result in 500
 * may be missed with two deviations of the rest's bound. Where the spectrum is flat nothing is
 * saved and codes keep all dimensions.
 *
 * Cost: for m = 2²²/d rows, at least 2d, m·d² products, 8·d²·c for c ≤ min(3d/4, 256) axes, and
 * m·c·32 for the choice; above 2,048 dimensions axes are not looked for. Deterministic, one thread.
 */
#include "index/axes.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/scan.h"
#include "base/simd/simd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_LEAST  1024u
#define DIMS_LEAST  16u
#define DIMS_MOST   2048u
#define QUERIES     32u
#define ITERATIONS  8
#define ROW_COST    16.0
#define LOST_MOST   .002
#define CODE_ERROR  .0068f /* of a vector's norm, by int8: a step of 3/127 deviations, uniform */
#define BLOCK_WORST 1.2f   /* of sixteen rows alike, against their mean */
#define STEP        4u     /* dimensions that the kernels take at once */

typedef struct search {
  const wn_vectors *rows;
  const wn_index_options *options;
  uint32_t dims, ld, most; /* padded dims; axes looked for */
  uint32_t count, queries, k;
  double lanes;         /* that a search scans for a result */
  double whole;         /* cost without axes */
  double trace, trace2; /* Σλ and Σλ² of what the axes so far leave */
  wn_rng rng;
  float *x;                /* [count · ld] sample rows */
  float *moment;           /* [ld · ld] */
  float *axes, *next;      /* [most · ld] */
  float *blocks;           /* axes as wn_axes has them */
  float *seen;             /* [most][count] what the axes see of the sample */
  float *rest;             /* [count] squared norm of what is not seen yet */
  float *width;            /* [count] its root */
  float *bias;             /* [count] l2: −‖x‖² */
  float *query;            /* [QUERIES · ld] */
  float *query_seen;       /* [QUERIES · WN_AXES_MAX] */
  float *query_rest;       /* [QUERIES] squared norm */
  float *score;            /* [QUERIES · count] by the axes so far */
  float *scratch;          /* [count] */
  wn_scored *truth, *room; /* [QUERIES · k], [k] */
} search;

const float *wn_axes_see(const wn_axes *axes, const float *x, float *room) {
  if (axes->blocks == NULL) return x;
  wn_scan()->dots(axes->blocks, ((size_t)axes->kept + 15) / 16, x, axes->dims, room);
  return room;
}

static void to_unit(float *x, size_t n) {
  float norm = sqrtf(wn_simd()->dot(x, x, n));
  if (norm > 0) wn_simd()->scale(1 / norm, x, n);
}

static void take(const search *s, const float *from, float *to) {
  memcpy(to, from, s->dims * sizeof *to);
  if (s->options->metric == WN_METRIC_COSINE) to_unit(to, s->dims);
}

/* Every so manieth present row. */
static void take_sample(search *s) {
  const wn_vectors *rows = s->rows;
  uint32_t room = s->count, step = rows->count / room;
  s->count = 0;
  for (uint32_t i = 0; i < rows->count && s->count < room; i += step) {
    if (s->options->present != NULL && !wn_bitset_test(s->options->present, i)) continue;
    take(s, rows->data + (size_t)i * s->dims, s->x + (size_t)s->count++ * s->ld);
  }
}

static void take_queries(search *s) {
  const wn_vectors *given = &s->options->queries;
  bool own = given->count == 0;
  uint32_t from = own ? s->count : given->count;
  s->queries = from < QUERIES ? from : QUERIES;
  for (uint32_t q = 0; q < s->queries; q++) {
    size_t at = (size_t)q * from / s->queries;
    take(s, own ? s->x + at * s->ld : given->data + at * s->dims, s->query + (size_t)q * s->ld);
  }
}

static void find_moments(search *s) {
  wn_simd_rows rows = {.data = s->x, .count = s->count, .ld = s->ld};
  wn_simd()->syrk(&rows, s->ld, s->moment, s->ld);
  for (size_t i = 0; i < s->ld; i++) {
    for (size_t j = 0; j < i; j++) s->moment[i * s->ld + j] = s->moment[j * s->ld + i];
  }
}

static void random_row(search *s, float *row, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) row[i] = (float)wn_rng_normal(&s->rng);
}

/* Gram–Schmidt, twice a row; a row that depends on those before becomes a random one. */
static void orthonormalise(search *s, float *rows, uint32_t count, uint32_t n, uint32_t ld) {
  for (uint32_t i = 0; i < count; i++) {
    float *row = rows + (size_t)i * ld;
    for (int tries = 0; tries < 4; tries++) {
      float norm = 0;
      to_unit(row, n);
      for (int pass = 0; pass < 2; pass++) {
        for (uint32_t j = 0; j < i; j++) {
          const float *other = rows + (size_t)j * ld;
          wn_simd()->axpy(-wn_simd()->dot(row, other, n), other, row, n);
        }
        if (pass == 0) norm = wn_simd()->dot(row, row, n);
      }
      to_unit(row, n);
      if (norm > 1e-8f) break;
      random_row(s, row, n);
    }
  }
}

/* next = axes·moment */
static void multiply(search *s) {
  wn_simd_product p = {s->axes, s->ld, 1, s->moment, s->ld, s->next, s->ld, s->dims};
  memset(s->next, 0, (size_t)s->most * s->ld * sizeof *s->next);
  wn_simd()->product(&p, s->most, s->ld);
}

static void find_axes(search *s) {
  for (uint32_t a = 0; a < s->most; a++) random_row(s, s->axes + (size_t)a * s->ld, s->dims);
  for (int i = 0; i < ITERATIONS; i++) {
    multiply(s);
    float *t = s->axes;
    s->axes = s->next;
    s->next = t;
    orthonormalise(s, s->axes, s->most, s->dims, s->ld);
  }
}

static void to_blocks(const float *axes, uint32_t count, uint32_t dims, uint32_t ld,
                      float *blocks) {
  for (uint32_t a = 0; a < count; a++) {
    float *to = blocks + (size_t)(a / 16) * dims * 16 + a % 16;
    for (uint32_t j = 0; j < dims; j++) to[(size_t)j * 16] = axes[(size_t)a * ld + j];
  }
}

static float score_of(const search *s, uint32_t row, float product) {
  return s->options->metric == WN_METRIC_L2 ? 2 * product + s->bias[row] : product;
}

/* How many rows of the sample two deviations of the errors cannot exclude, and how many results
 * they do; `rest` and `code`: what of a score is unsure for each unit of width and of norm. */
static void judge(search *s, uint32_t q, float rest, float code, double *left, double *lost) {
  const float *score = s->score + (size_t)q * s->count;
  float factor = s->options->metric == WN_METRIC_L2 ? 2 : 1, *half = s->scratch;
  wn_topk top;
  wn_topk_init(&top, s->room, s->k);
  for (uint32_t i = 0; i < s->count; i++) {
    half[i] = factor * (rest * s->width[i] + code * sqrtf(-s->bias[i]));
    wn_topk_push(&top, i, score_of(s, i, score[i]) - half[i]);
  }
  float least = s->room[0].score; /* of the heap: its worst */
  for (uint32_t i = 0; i < s->count; i++) *left += score_of(s, i, score[i]) + half[i] >= least;
  for (uint32_t r = 0; r < s->k; r++) {
    uint32_t i = s->truth[(size_t)q * s->k + r].ix;
    *lost += score_of(s, i, score[i]) + half[i] < least;
  }
}

/* How unsure codes of `kept` dimensions make the scores of a query. */
static float code_share(const search *s, uint32_t q, uint32_t kept) {
  const float *query = s->query + (size_t)q * s->ld;
  float norm = sqrtf(wn_simd()->dot(query, query, s->dims));
  return BLOCK_WORST * CODE_ERROR * 4 / sqrtf((float)kept) * norm;
}

/* The results of a query in the sample, and what codes of all dimensions leave. */
static double find_truth(search *s, uint32_t q) {
  float *score = s->score + (size_t)q * s->count;
  double left = 0, lost = 0;
  wn_topk top;
  wn_simd()->gemv(s->x, s->count, s->ld, s->query + (size_t)q * s->ld, s->dims, score);
  wn_topk_init(&top, s->truth + (size_t)q * s->k, s->k);
  for (uint32_t i = 0; i < s->count; i++) wn_topk_push(&top, i, score_of(s, i, score[i]));
  judge(s, q, 0, code_share(s, q, s->dims), &left, &lost);
  memset(score, 0, s->count * sizeof *score);
  return left;
}

/* Everything that depends on no number of axes. */
static void prepare(search *s) {
  wn_axes axes = {s->dims, s->most, 1, s->blocks};
  float seen[WN_AXES_MAX];
  double left = 0;
  multiply(s);
  for (uint32_t i = 0; i < s->dims; i++) {
    const float *row = s->moment + (size_t)i * s->ld;
    s->trace += (double)row[i];
    for (uint32_t j = 0; j < s->dims; j++) s->trace2 += (double)row[j] * (double)row[j];
  }
  to_blocks(s->axes, s->most, s->dims, s->ld, s->blocks);
  for (uint32_t i = 0; i < s->count; i++) {
    const float *x = s->x + (size_t)i * s->ld;
    s->rest[i] = wn_simd()->dot(x, x, s->dims);
    s->bias[i] = -s->rest[i];
    wn_axes_see(&axes, x, seen);
    for (uint32_t a = 0; a < s->most; a++) s->seen[(size_t)a * s->count + i] = seen[a];
  }
  for (uint32_t q = 0; q < s->queries; q++) {
    const float *query = s->query + (size_t)q * s->ld;
    wn_axes_see(&axes, query, s->query_seen + (size_t)q * WN_AXES_MAX);
    s->query_rest[q] = wn_simd()->dot(query, query, s->dims);
    left += find_truth(s, q);
  }
  s->whole = s->dims * (s->lanes + ROW_COST * left / ((double)s->k * s->queries));
}

/* Takes axis a into scores and rests. */
static void add_axis(search *s, uint32_t a) {
  const float *seen = s->seen + (size_t)a * s->count;
  for (uint32_t i = 0; i < s->count; i++) s->rest[i] -= seen[i] * seen[i];
  for (uint32_t q = 0; q < s->queries; q++) {
    float z = s->query_seen[(size_t)q * WN_AXES_MAX + a];
    wn_simd()->axpy(z, seen, s->score + (size_t)q * s->count, s->count);
    s->query_rest[q] -= z * z;
  }
  const float *axis = s->axes + (size_t)a * s->ld, *next = s->next + (size_t)a * s->ld;
  s->trace -= (double)wn_simd()->dot(axis, next, s->dims);
  s->trace2 -= (double)wn_simd()->dot(next, next, s->dims);
}

/* Two deviations of the cosine of two rests, from the spectrum of what the axes leave: √Σλ² / Σλ is
 * one, for vectors of such second moments. */
static float spread_of(const search *s) {
  double spread = s->trace > 0 && s->trace2 > 0 ? 2 * sqrt(s->trace2) / s->trace : 1;
  return spread < 1 ? (float)spread : 1;
}

/* What a result costs with the axes so far; infinity: too many are lost. */
static double cost_of(search *s, uint32_t kept) {
  double left = 0, lost = 0, results = (double)s->k * s->queries;
  float rest = BLOCK_WORST * spread_of(s);
  for (uint32_t i = 0; i < s->count; i++) s->width[i] = sqrtf(fmaxf(s->rest[i], 0));
  for (uint32_t q = 0; q < s->queries; q++) {
    judge(s, q, rest * sqrtf(fmaxf(s->query_rest[q], 0)), code_share(s, q, kept), &left, &lost);
  }
  if (lost > LOST_MOST * results) return INFINITY;
  return s->lanes * kept + ROW_COST * s->dims * left / results;
}

/* The cheapest number of axes, or dims. */
static void choose(search *s, wn_axes *axes) {
  double least = .9 * s->whole; /* worth it from a tenth on */
  for (uint32_t a = 0; a < s->most; a++) {
    add_axis(s, a);
    if ((a + 1) % STEP != 0 || a + 1 < 2 * STEP) continue;
    double cost = cost_of(s, a + 1);
    if (!(cost < least)) continue;
    least = cost;
    axes->kept = a + 1;
    axes->spread = spread_of(s);
  }
}

/* The first `kept` axes, turned at random among themselves, as blocks of their own. */
static float *turn(search *s, uint32_t kept) {
  float *blocks = wn_calloc(1, wn_axes_bytes(s->dims, kept));
  float *mix = wn_calloc((size_t)kept * kept, sizeof *mix);
  if (blocks != NULL && mix != NULL) {
    for (uint32_t a = 0; a < kept; a++) random_row(s, mix + (size_t)a * kept, kept);
    orthonormalise(s, mix, kept, kept, kept);
    wn_simd_product p = {mix, kept, 1, s->axes, s->ld, s->next, s->ld, kept};
    memset(s->next, 0, (size_t)kept * s->ld * sizeof *s->next);
    wn_simd()->product(&p, kept, s->ld);
    orthonormalise(s, s->next, kept, s->dims, s->ld);
    to_blocks(s->next, kept, s->dims, s->ld, blocks);
  } else {
    wn_free(blocks);
    blocks = NULL;
  }
  wn_free(mix);
  return blocks;
}

static void drop(search *s) {
  void *all[] = {s->x,       s->moment, s->axes,  s->next,       s->blocks,     s->seen,
                 s->rest,    s->bias,   s->query, s->query_seen, s->query_rest, s->score,
                 s->scratch, s->width,  s->truth, s->room};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
}

static bool allocate(search *s) {
  size_t ld = s->ld, n = s->count, most = s->most, k = s->k;
  s->x = wn_calloc(n * ld, sizeof *s->x);
  s->moment = wn_calloc(ld * ld, sizeof *s->moment);
  s->axes = wn_calloc(most * ld, sizeof *s->axes);
  s->next = wn_calloc(most * ld, sizeof *s->next);
  s->blocks = wn_calloc(1, wn_axes_bytes(s->dims, s->most));
  s->seen = wn_calloc(most * n, sizeof *s->seen);
  s->rest = wn_calloc(n, sizeof *s->rest);
  s->width = wn_calloc(n, sizeof *s->width);
  s->bias = wn_calloc(n, sizeof *s->bias);
  s->scratch = wn_calloc(n, sizeof *s->scratch);
  s->query = wn_calloc(QUERIES * ld, sizeof *s->query);
  s->query_seen = wn_calloc(QUERIES * WN_AXES_MAX, sizeof *s->query_seen);
  s->query_rest = wn_calloc(QUERIES, sizeof *s->query_rest);
  s->score = wn_calloc(QUERIES * n, sizeof *s->score);
  s->truth = wn_calloc(QUERIES * k, sizeof *s->truth);
  s->room = wn_calloc(k, sizeof *s->room);
  return s->x != NULL && s->moment != NULL && s->axes != NULL && s->next != NULL &&
         s->blocks != NULL && s->seen != NULL && s->rest != NULL && s->width != NULL &&
         s->bias != NULL && s->scratch != NULL && s->query != NULL && s->query_seen != NULL &&
         s->query_rest != NULL && s->score != NULL && s->truth != NULL && s->room != NULL;
}

static int by_fall(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? 1 : x > y ? -1 : 0;
}

/* As in tiers.c: one in sixteen is longer than the median by √2. */
static bool norms_differ(const search *s) {
  float *norm2 = s->scratch;
  for (uint32_t i = 0; i < s->count; i++) {
    const float *x = s->x + (size_t)i * s->ld;
    norm2[i] = wn_simd()->dot(x, x, s->dims);
  }
  qsort(norm2, s->count, sizeof *norm2, by_fall);
  return norm2[s->count / 16] > 2 * norm2[s->count / 2];
}

/* What searches for 100 at .95 to .99 were seen to scan: lists grow with √n, and norms that differ
 * leave a sixth. Without lists it is more, but so few axes that only that would pay for leave an
 * exact search ten thousand rows. */
static double lanes_of(const search *s) {
  double n = s->rows->count, k = s->options->k;
  return (s->options->metric == WN_METRIC_IP && norms_differ(s) ? 2 : 12.5) * sqrt(n) / k;
}

static void set_sizes(search *s) {
  uint32_t d = s->dims, n = s->rows->count;
  s->count = (1u << 22) / d > 2 * d ? (1u << 22) / d : 2 * d;
  if (s->count > n) s->count = n;
  s->ld = (d + WN_SIMD_PAD - 1) / WN_SIMD_PAD * WN_SIMD_PAD;
  s->most = d * 3 / 4 / STEP * STEP;
  if (s->most > WN_AXES_MAX) s->most = WN_AXES_MAX;
  uint64_t k = (uint64_t)s->options->k * s->count / n;
  s->k = k < 8 ? 8 : k > s->count / 8 ? s->count / 8 : (uint32_t)k;
}

wn_status wn_axes_find(const wn_vectors *rows, const wn_index_options *options, wn_axes *axes,
                       float **blocks, wn_error *err) {
  wn_status status = WN_OK;
  search s = {.rows = rows, .options = options, .dims = rows->dims};
  *axes = (wn_axes){rows->dims, rows->dims, 1, NULL};
  *blocks = NULL;
  if (rows->count < ROWS_LEAST || rows->dims < DIMS_LEAST || rows->dims > DIMS_MOST) return WN_OK;
  wn_rng_seed(&s.rng, options->seed ^ UINT64_C(0xa0761d6478bd642f));
  set_sizes(&s);
  if (!allocate(&s)) WN_TRY(wn_fail_memory(err));
  take_sample(&s);
  if (s.count < ROWS_LEAST / 2) goto cleanup; /* few are present */
  take_queries(&s);
  s.lanes = lanes_of(&s);
  find_moments(&s);
  find_axes(&s);
  prepare(&s);
  choose(&s, axes);
  if (axes->kept == rows->dims) goto cleanup;
  *blocks = turn(&s, axes->kept);
  if (*blocks == NULL) WN_TRY(wn_fail_memory(err));
  axes->blocks = *blocks;
cleanup:
  drop(&s);
  return status;
}
