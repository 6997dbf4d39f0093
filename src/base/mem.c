#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Counting costs a shared cache line, so it starts with the first wn_mem_fail_after(). */
static atomic_bool counting;
static atomic_long made;
static atomic_long fail_at = -1;

static bool must_fail(void) {
  if (!atomic_load_explicit(&counting, memory_order_relaxed)) return false;
  long number = atomic_fetch_add(&made, 1);
  return number == atomic_load(&fail_at);
}

void wn_mem_fail_after(long n) {
  atomic_store(&made, 0);
  atomic_store(&fail_at, n);
  atomic_store(&counting, true);
}

long wn_mem_allocations(void) {
  return atomic_load(&made);
}

/* Size 0 gives a block of its own, so that NULL always means "out of memory". */
static size_t at_least_one(size_t size) {
  return size > 0 ? size : 1;
}

void *wn_malloc(size_t size) {
  return must_fail() ? NULL : malloc(at_least_one(size));
}

void *wn_calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || must_fail()) return NULL;
  return calloc(1, at_least_one(bytes));
}

void *wn_realloc(void *old, size_t size) {
  return must_fail() ? NULL : realloc(old, at_least_one(size));
}

void *wn_reallocarray(void *old, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
  return wn_realloc(old, bytes);
}

void wn_mem_scattered(void *p, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t page = (uintptr_t)1 << 21;
  uintptr_t begin = ((uintptr_t)p + page - 1) & ~(page - 1),
            end = ((uintptr_t)p + bytes) & ~(page - 1);
  if (p != NULL && begin < end) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
  (void)p, (void)bytes;
#endif
}

void wn_free(void *p) {
  free(p);
}

char *wn_strdup(const char *s) {
  return wn_strndup(s, strlen(s));
}

char *wn_strndup(const char *s, size_t len) {
  if (len == SIZE_MAX) return NULL;
  char *copy = wn_malloc(len + 1);
  if (copy == NULL) return NULL;
  if (len > 0) memcpy(copy, s, len);
  copy[len] = '\0';
  return copy;
}
