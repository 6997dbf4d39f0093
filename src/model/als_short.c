/* Short rows of ALS, as many at once as a vector has lanes.
 *
 * The dual system of als_solve.c, (I + ZZᵀ) a = t, of rows with n ≤ 80: ZZᵀ is made row by row in
 * blocks of 4 × 4 inner products, which need no transposing; then the blocks of all rows are
 * interleaved, one row a lane, and factored together: a small Cholesky alone is all latency. Rows
 * of about the same length should come together (als_fit.c sorts them), because each costs
 * what the longest does there: n³/6 multiply-adds of one lane.
 *
 * The scaled rows of one system stay in the nearest cache and are lost with the next one: x is made
 * of the factors as they are, D⁻¹Σ aᵢ√cᵢ·hᵢ.
 *
 * Shapes: 80 scaled rows (320 bytes·d), the matrices of all lanes twice. Deterministic; a row's
 * result depends on itself alone. */
#include "model/als.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

#define N      WN_ALS_SHORT_N
#define LANES  WN_ALS_SHORT_LANES
#define BLOCKS (N / 4)

static size_t tiles_of(size_t blocks) {
  return blocks * (blocks + 1) / 2;
}

typedef struct batch_memory {
  size_t width, stride;
  size_t tiles;  /* of the longest row */
  float *z;      /* [N × stride] of one lane */
  float *half;   /* [lanes][width] */
  float *stage;  /* [lanes][tiles][16] */
  float *matrix; /* [tiles][16][lanes] */
  float *x;      /* [N][lanes] */
  float *a;      /* [N] */
  float *sum;    /* [width] */
} batch_memory;

static size_t padded(size_t n) {
  return (n + WN_SIMD_PAD - 1) / WN_SIMD_PAD * WN_SIMD_PAD;
}

size_t wn_als_short_floats(size_t d) {
  size_t width = padded(d), stride = wn_simd_stride(width);
  return LANES * (width + 2 * tiles_of(BLOCKS) * 16 + N) + N * stride + N + width + WN_SIMD_PAD;
}

static batch_memory batch_init(size_t d, float *memory) {
  batch_memory b = {.width = padded(d)};
  b.stride = wn_simd_stride(b.width);
  b.half = memory + (size_t)(-(uintptr_t)memory / sizeof *memory) % WN_SIMD_PAD;
  b.sum = b.half + LANES * b.width;
  b.a = b.sum + b.width;
  b.x = b.a + N;
  b.stage = b.x + N * LANES;
  b.matrix = b.stage + LANES * tiles_of(BLOCKS) * 16;
  b.z = b.matrix + LANES * tiles_of(BLOCKS) * 16;
  return b;
}

/* Scaled rows into z, zeros up to whole blocks; targets into the batch's right-hand sides. */
static void gather(const wn_als_system *system, const wn_als_task *task, const batch_memory *b,
                   size_t lane) {
  const wn_simd_table *simd = wn_simd();
  float *z = b->z, *half = b->half + lane * b->width;
  size_t d = system->d, whole = (task->n + 3) / 4 * 4;
  for (size_t i = 0; i < task->n; i++) {
    float root = sqrtf(fabsf(task->c[i]));
    b->x[i * simd->lanes + lane] = task->c[i] > 0 ? root : 0;
    simd->scale_by(root, half, system->factors + (size_t)task->col[i] * d, d, z + i * b->stride);
  }
  memset(z + task->n * b->stride, 0, (whole - task->n) * b->stride * sizeof *z);
}

/* Asks for rows *at … of the task, `rows` of them: they are scattered over memory. */
static void prefetch(const wn_als_system *system, const wn_als_task *task, size_t *at,
                     size_t rows) {
  for (; rows > 0 && *at < task->n; rows--, (*at)++) {
    const float *row = system->factors + (size_t)task->col[*at] * system->d;
    for (size_t k = 0; k < system->d; k += WN_SIMD_PAD) __builtin_prefetch(row + k, 0, 2);
  }
}

/* ZZᵀ of one task; meanwhile the rows of the next one come nearer. */
static void multiply(const wn_als_system *system, const wn_als_task *task, const wn_als_task *next,
                     const batch_memory *b, size_t lane) {
  const wn_simd_table *simd = wn_simd();
  const float *z = b->z;
  size_t tiles = b->tiles, mine = tiles_of((task->n + 3) / 4), at = 0;
  float *out = b->stage + lane * tiles * 16, *end = out + tiles * 16;
  size_t each = next != NULL ? (next->n + mine - 1) / mine : 0;
  for (size_t i = 0; i < task->n; i += 4) {
    for (size_t j = 0; j <= i; j += 4, out += 16) {
      if (next != NULL) prefetch(system, next, &at, each);
      simd->gram4(z + i * b->stride, z + j * b->stride, b->stride, b->width, out);
    }
  }
  memset(out, 0, (size_t)(end - out) * sizeof *out);
}

static void finish(const wn_als_system *system, const wn_als_task *task, const batch_memory *b,
                   size_t lane) {
  const wn_simd_table *simd = wn_simd();
  const float *half = b->half + lane * b->width;
  const wn_simd_rows rows = {
      .data = system->factors, .count = task->n, .ld = system->d, .row = task->col};
  for (size_t i = 0; i < task->n; i++) {
    b->a[i] = b->x[i * simd->lanes + lane] * sqrtf(fabsf(task->c[i]));
  }
  memset(b->sum, 0, b->width * sizeof *b->sum);
  simd->combine(b->a, &rows, b->width, b->sum);
  simd->scale_by(1, half, b->sum, b->width, b->sum);
  double norm = wn_als_unscale(half, system->d, b->sum);
  memcpy(task->x, b->sum, system->d * sizeof *task->x);
  task->row->penalty = wn_als_ridge(system, task->sum) * norm;
}

void wn_als_solve_short(const wn_als_system *system, const wn_als_task *tasks, size_t count,
                        float *memory) {
  const wn_simd_table *simd = wn_simd();
  batch_memory b = batch_init(system->d, memory);
  wn_simd_batch batch = {.matrix = b.matrix, .x = b.x};
  float least[LANES];
  size_t longest = 0;
  for (size_t s = 0; s < count; s++) longest = tasks[s].n > longest ? tasks[s].n : longest;
  batch.blocks = (longest + 3) / 4;
  size_t tiles = b.tiles = tiles_of(batch.blocks), at = 0;
  prefetch(system, tasks, &at, tasks->n);
  memset(b.x, 0, 4 * batch.blocks * simd->lanes * sizeof *b.x);
  memset(b.stage + count * tiles * 16, 0, (simd->lanes - count) * tiles * 16 * sizeof *b.stage);
  for (size_t s = 0; s < count; s++) {
    if (s > 0 && tasks[s].sum == tasks[s - 1].sum) {
      memcpy(b.half + s * b.width, b.half + (s - 1) * b.width, b.width * sizeof *b.half);
    } else {
      wn_als_half(system, wn_als_ridge(system, tasks[s].sum), b.half + s * b.width);
    }
    gather(system, &tasks[s], &b, s);
    multiply(system, &tasks[s], s + 1 < count ? &tasks[s + 1] : NULL, &b, s);
  }
  simd->transpose(b.stage, tiles * 16, simd->lanes, tiles * 16, b.matrix, simd->lanes);
  simd->batch(&batch, least);
  for (size_t s = 0; s < count; s++) {
    finish(system, &tasks[s], &b, s);
    tasks[s].row->loss = (double)least[s];
  }
}
