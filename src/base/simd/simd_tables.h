#ifndef WN_BASE_SIMD_TABLES_H
#define WN_BASE_SIMD_TABLES_H
/* The tables behind wn_simd(); internal to base/simd/. */

#include "base/simd/simd.h"

extern const wn_simd_table wn_simd_scalar;
#if defined(__x86_64__)
extern const wn_simd_table wn_simd_avx2;
extern const wn_simd_table wn_simd_avx512;
size_t wn_panel_above_avx2(const wn_simd_panel *panel, uint32_t *out);
void wn_syrk_rounded_avx512(const wn_simd_rows *rows, size_t n, uint32_t *packed, float *C,
                            size_t ldc);
void wn_gram_rounded_avx512(const wn_simd_rows *rows, const float *scale, size_t n,
                            uint32_t *packed, float *C, size_t ldc);
size_t wn_panel_above_avx512(const wn_simd_panel *panel, uint32_t *out);
#endif

#endif
