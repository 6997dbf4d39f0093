#include "base/simd/scan_tables.h"
#include "base/simd/simd.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

const wn_scan_table *wn_scan_named(const char *name) {
  if (wn_simd_named(name) == NULL) return NULL;
  if (strcmp(name, "scalar") == 0) return &wn_scan_scalar;
#if defined(__x86_64__)
  bool popcnt = __builtin_cpu_supports("popcnt");
  if (strcmp(name, "avx2") == 0 && popcnt) return &wn_scan_avx2;
  if (strcmp(name, "avx512") == 0 && popcnt && __builtin_cpu_supports("avx512vnni")) {
    return &wn_scan_avx512;
  }
#endif
  return NULL;
}

/* AVX-512 without VNNI (before 2019) takes the AVX2 kernels. */
static const wn_scan_table *choose(const char *name) {
  const wn_scan_table *table = wn_scan_named(name);
  if (table == NULL && strcmp(name, "avx512") == 0) table = wn_scan_named("avx2");
  return table != NULL ? table : &wn_scan_scalar;
}

const wn_scan_table *wn_scan(void) {
  static _Atomic(const wn_scan_table *) chosen;
  const wn_scan_table *table = atomic_load_explicit(&chosen, memory_order_acquire);
  if (table == NULL) { /* two threads at once choose the same */
    table = choose(wn_simd()->name);
    atomic_store_explicit(&chosen, table, memory_order_release);
  }
  return table;
}
