#ifndef WN_BASE_MEM_H
#define WN_BASE_MEM_H
/* Allocation with checked sizes and a failure injector for the torture tests. */

#include <stddef.h>

void *wn_malloc(size_t size) __attribute__((malloc));
void *wn_calloc(size_t count, size_t size) __attribute__((malloc)); /* NULL on overflow */
void *wn_realloc(void *old, size_t size);
/* count × size with the overflow checked; on failure `old` stays valid. */
void *wn_reallocarray(void *old, size_t count, size_t size);
/* The block, just allocated and not yet written, will be read row by row in random order: asks the
 * system for large pages, so that a row does not cost a walk of the page table. Advice only. */
void wn_mem_scattered(void *p, size_t bytes);
void wn_free(void *p); /* NULL is fine; also frees what libc's malloc gave */
char *wn_strdup(const char *s);
char *wn_strndup(const char *s, size_t len);

/* The n-th allocation from now (0 = the next) fails, once; negative: never. Tests only. */
void wn_mem_fail_after(long n);
/* Allocations made since the last wn_mem_fail_after(). */
long wn_mem_allocations(void);

#endif
