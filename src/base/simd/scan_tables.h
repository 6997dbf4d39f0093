#ifndef WN_BASE_SIMD_SCAN_TABLES_H
#define WN_BASE_SIMD_SCAN_TABLES_H
/* The tables behind wn_scan(); internal to base/simd/. */

#include "base/simd/scan.h"

extern const wn_scan_table wn_scan_scalar;
/* AVX2 has no better way: two products of bytes overflow 16 bits. */
size_t wn_scan_panel_above_scalar(const wn_scan_panel *p, uint32_t *out);
#if defined(__x86_64__)
extern const wn_scan_table wn_scan_avx2;
extern const wn_scan_table wn_scan_avx512;
#endif

#endif
