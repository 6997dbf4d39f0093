/* HᵀH of a tall matrix. Stripes of rows are summed in float by the syrk kernel, one a thread, and
 * join the double sum in their order, STRIPES at a time: the same bits for any number of threads.
 */
#include "base/mem.h"
#include "base/simd/simd.h"
#include "model/linalg.h"

#include <string.h>

#define STRIPES 8
#define ROWS    512 /* of a stripe */
#define COPIED  32  /* rows with padding, at a time */

typedef struct gram_work {
  const float *rows;
  size_t count, d;
  size_t width, stride; /* d padded; row length of a sum */
  size_t first;         /* row of this round */
  float *part;          /* [STRIPES][width × stride] */
  float *copy;          /* [STRIPES][COPIED × width] rows with padding, where d has none */
  double *gram;
} gram_work;

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

static void sum_stripes(void *ctx, size_t begin, size_t end, int worker) {
  const gram_work *w = ctx;
  (void)worker;
  for (size_t stripe = begin; stripe < end; stripe++) {
    float *part = w->part + stripe * w->width * w->stride;
    size_t at = least(w->first + stripe * ROWS, w->count), stop = least(at + ROWS, w->count);
    memset(part, 0, w->width * w->stride * sizeof *part);
    while (at < stop) {
      const float *rows = w->rows + at * w->d;
      size_t n = least(COPIED, stop - at);
      if (w->width != w->d) {
        float *copy = w->copy + stripe * COPIED * w->width;
        for (size_t i = 0; i < n; i++)
          memcpy(copy + i * w->width, rows + i * w->d, w->d * sizeof *copy);
        rows = copy;
      }
      wn_simd()->syrk(&(wn_simd_rows){.data = rows, .count = n, .ld = w->width}, w->width, part,
                      w->stride);
      at += n;
    }
  }
}

static void add_rows(void *ctx, size_t begin, size_t end, int worker) {
  const gram_work *w = ctx;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    for (size_t stripe = 0; stripe < STRIPES; stripe++) {
      const float *part = w->part + (stripe * w->width + i) * w->stride;
      for (size_t j = i; j < w->d; j++) w->gram[i * w->d + j] += (double)part[j];
    }
  }
}

wn_status wn_gram(wn_pool *pool, const float *rows, size_t count, size_t d, double *gram,
                  wn_error *err) {
  gram_work w = {.rows = rows, .count = count, .d = d, .gram = gram};
  w.width = (d + WN_SIMD_PAD - 1) / WN_SIMD_PAD * WN_SIMD_PAD;
  w.stride = wn_simd_stride(w.width);
  w.part = wn_calloc(STRIPES * w.width * w.stride, sizeof *w.part);
  w.copy = wn_calloc(STRIPES * COPIED * w.width, sizeof *w.copy);
  wn_status status = w.part == NULL || w.copy == NULL ? wn_fail_memory(err) : WN_OK;
  if (status == WN_OK) {
    memset(gram, 0, d * d * sizeof *gram);
    for (; w.first < count; w.first += STRIPES * ROWS) {
      wn_pool_run(pool, STRIPES, 1, sum_stripes, &w);
      wn_pool_run(pool, d, 16, add_rows, &w);
    }
    for (size_t i = 0; i < d; i++) {
      for (size_t j = 0; j < i; j++) gram[i * d + j] = gram[j * d + i];
    }
  }
  wn_free(w.part);
  wn_free(w.copy);
  return status;
}
