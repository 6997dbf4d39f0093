/* AVX2: 12 sums, 3 vectors of queries and one number of a row fill the sixteen registers. */
#include "base/simd/simd_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define W               8
#define TILE_ROWS       4
#define TILE_VECS       3
#define V               __m256
#define v_load          _mm256_loadu_ps
#define v_set           _mm256_set1_ps
#define v_zero          _mm256_setzero_ps
#define v_fma           _mm256_fmadd_ps
#define v_mask_ge(a, b) (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ))
#include "base/simd/simd_panel.h"

size_t wn_panel_above_avx2(const wn_simd_panel *panel, uint32_t *out) {
  return panel_above(panel, out);
}
#endif
