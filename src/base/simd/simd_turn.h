#ifndef WN_BASE_SIMD_TURN_H
#define WN_BASE_SIMD_TURN_H
/* Transposing within registers, of AVX-512. */

#include <immintrin.h>
#include <stddef.h>

/* 16 × 16: within quarters of the vectors first, then quarters among vectors. */
static inline void transpose_block(__m512 t[16]) {
  __m512 u[16];
#pragma GCC unroll 4
  for (size_t i = 0; i < 16; i += 4) {
    __m512 a = _mm512_unpacklo_ps(t[i], t[i + 1]), b = _mm512_unpackhi_ps(t[i], t[i + 1]);
    __m512 c = _mm512_unpacklo_ps(t[i + 2], t[i + 3]), d = _mm512_unpackhi_ps(t[i + 2], t[i + 3]);
    u[i] = _mm512_shuffle_ps(a, c, 0x44);
    u[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
    u[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
    u[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; i++) {
    __m512 a = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88),
           b = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xdd);
    __m512 c = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0x88);
    __m512 d = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0xdd);
    t[i] = _mm512_shuffle_f32x4(a, c, 0x88);
    t[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
    t[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}

#endif
