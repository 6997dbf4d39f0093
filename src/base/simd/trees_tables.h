#ifndef WN_BASE_TREES_TABLES_H
#define WN_BASE_TREES_TABLES_H
/* The kernels behind wn_trees_sum() and wn_coded_sum(); internal to base/simd/. */

#include "base/simd/coded.h"

wn_trees_fn wn_trees_scalar;
wn_coded_fn wn_coded_scalar;
#if defined(__x86_64__)
wn_trees_fn wn_trees_avx2, wn_trees_avx512;
wn_coded_fn wn_coded_vbmi;
#endif

#endif
