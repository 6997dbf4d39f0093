#include "base/simd/simd_tables.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct simd_choice {
  const wn_simd_table *table;
  bool offered;
} simd_choice;

#define CHOICES 3

/* Slowest first. */
static int list_choices(simd_choice out[CHOICES]) {
  int n = 0;
  out[n++] = (simd_choice){&wn_simd_scalar, true};
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  out[n++] = (simd_choice){&wn_simd_avx2, avx2};
  out[n++] = (simd_choice){&wn_simd_avx512, avx512};
#endif
  return n;
}

const wn_simd_table *wn_simd_named(const char *name) {
  simd_choice choices[CHOICES];
  int n = list_choices(choices);
  for (int i = 0; i < n; i++) {
    if (choices[i].offered && strcmp(choices[i].table->name, name) == 0) return choices[i].table;
  }
  return NULL;
}

/* The best table that the CPU offers, up to the one that WINNOW_SIMD names. */
static const wn_simd_table *choose(const char *wanted) {
  simd_choice choices[CHOICES];
  int n = list_choices(choices);
  const wn_simd_table *best = &wn_simd_scalar;
  for (int i = 0; i < n; i++) {
    if (choices[i].offered) best = choices[i].table;
    if (wanted != NULL && strcmp(choices[i].table->name, wanted) == 0) break;
  }
  return best;
}

const wn_simd_table *wn_simd(void) {
  static _Atomic(const wn_simd_table *) chosen;
  const wn_simd_table *table = atomic_load_explicit(&chosen, memory_order_acquire);
  if (table == NULL) { /* two threads at once choose the same */
    table = choose(getenv("WINNOW_SIMD"));
    atomic_store_explicit(&chosen, table, memory_order_release);
  }
  return table;
}

#if defined(__x86_64__)
static bool rounds(void) {
  static _Atomic int known; /* 1: no, 2: yes */
  int is = atomic_load_explicit(&known, memory_order_relaxed);
  if (is == 0) {
    const char *wanted = getenv("WINNOW_SIMD");
    bool yes = strcmp(wn_simd()->name, "avx512") == 0 && __builtin_cpu_supports("avx512bf16") &&
               (wanted == NULL || strcmp(wanted, "avx512bf16") == 0);
    atomic_store_explicit(&known, is = yes ? 2 : 1, memory_order_relaxed);
  }
  return is == 2;
}
#endif

wn_syrk_rounded *wn_simd_syrk_rounded(void) {
#if defined(__x86_64__)
  return rounds() ? wn_syrk_rounded_avx512 : NULL;
#else
  return NULL;
#endif
}

wn_gram_rounded *wn_simd_gram_rounded(void) {
#if defined(__x86_64__)
  return rounds() ? wn_gram_rounded_avx512 : NULL;
#else
  return NULL;
#endif
}
