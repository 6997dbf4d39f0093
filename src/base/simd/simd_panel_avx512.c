/* AVX-512: 24 sums, 3 vectors of queries, the rows' numbers from memory. */
#include "base/simd/simd_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define W               16
#define TILE_ROWS       8
#define TILE_VECS       3
#define V               __m512
#define v_load          _mm512_loadu_ps
#define v_set           _mm512_set1_ps
#define v_zero          _mm512_setzero_ps
#define v_fma           _mm512_fmadd_ps
#define v_mask_ge(a, b) _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ)
#include "base/simd/simd_panel.h"

size_t wn_panel_above_avx512(const wn_simd_panel *panel, uint32_t *out) {
  return panel_above(panel, out);
}
#endif
