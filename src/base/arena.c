/* Bump allocation in a chain of blocks. The first block survives resets, so that a request
 * of usual size allocates nothing from the heap once its thread is warm. Under AddressSanitizer
 * what was not handed out is poisoned: use after reset and overruns are reported. */
#include "base/arena.h"
#include "base/mem.h"

#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WN_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(WN_ASAN)
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define ALIGNMENT         64
#define STRING_ALIGNMENT  8 /* ASan's granule */
#define FIRST_BLOCK_BYTES (64 * 1024)
#define BLOCK_BYTES_MAX   (8 * 1024 * 1024)

struct wn_arena_block {
  wn_arena_block *next;
  unsigned char *data; /* 64-byte aligned, inside this allocation */
  size_t cap;
  size_t used;
};

void wn_arena_init(wn_arena *arena, size_t used_bytes_max) {
  *arena = (wn_arena){.used_bytes_max = used_bytes_max};
}

static void free_chain(wn_arena_block *block) {
  while (block != NULL) {
    wn_arena_block *next = block->next;
    UNPOISON(block->data, block->cap);
    wn_free(block);
    block = next;
  }
}

void wn_arena_clear(wn_arena *arena) {
  free_chain(arena->first);
  wn_arena_init(arena, arena->used_bytes_max);
}

void wn_arena_reset(wn_arena *arena) {
  arena->used_bytes = 0;
  if (arena->first == NULL) return;
  free_chain(arena->first->next);
  arena->first->next = NULL;
  arena->first->used = 0;
  POISON(arena->first->data, arena->first->cap);
  arena->head = arena->first;
}

static bool add_block(wn_arena *arena, size_t size) {
  size_t cap = arena->head == NULL ? FIRST_BLOCK_BYTES : arena->head->cap * 2;
  if (cap > BLOCK_BYTES_MAX) cap = BLOCK_BYTES_MAX;
  if (cap < size) cap = size;
  size_t bytes;
  if (__builtin_add_overflow(cap, sizeof(wn_arena_block) + ALIGNMENT, &bytes)) return false;
  wn_arena_block *block = wn_malloc(bytes);
  if (block == NULL) return false;
  uintptr_t start = (uintptr_t)(block + 1);
  size_t gap = (ALIGNMENT - start % ALIGNMENT) % ALIGNMENT;
  *block = (wn_arena_block){.data = (unsigned char *)(block + 1) + gap, .cap = cap};
  POISON(block->data, block->cap);
  if (arena->head != NULL) {
    arena->head->next = block;
  } else {
    arena->first = block;
  }
  arena->head = block;
  return true;
}

static void *take(wn_arena *arena, size_t size, size_t alignment) {
  if (size > SIZE_MAX - ALIGNMENT) return NULL;
  size_t rounded = (size + (size == 0) + alignment - 1) / alignment * alignment;
  if (rounded > arena->used_bytes_max - arena->used_bytes) return NULL;
  wn_arena_block *head = arena->head;
  size_t at = head != NULL ? (head->used + alignment - 1) / alignment * alignment : 0;
  if (head == NULL || at > head->cap || rounded > head->cap - at) {
    if (!add_block(arena, rounded)) return NULL;
    head = arena->head;
    at = 0;
  }
  head->used = at + rounded;
  arena->used_bytes += rounded;
  UNPOISON(head->data + at, size);
  return head->data + at;
}

void *wn_arena_alloc(wn_arena *arena, size_t size) {
  return take(arena, size, ALIGNMENT);
}

void *wn_arena_calloc(wn_arena *arena, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
  void *p = wn_arena_alloc(arena, bytes);
  if (p != NULL) memset(p, 0, bytes);
  return p;
}

char *wn_arena_strdup(wn_arena *arena, wn_str s) {
  if (s.len == SIZE_MAX) return NULL;
  char *copy = take(arena, s.len + 1, STRING_ALIGNMENT);
  if (copy == NULL) return NULL;
  if (s.len > 0) memcpy(copy, s.ptr, s.len);
  copy[s.len] = '\0';
  return copy;
}

wn_str wn_arena_str(wn_arena *arena, wn_str s) {
  if (s.ptr == NULL) return s;
  char *copy = wn_arena_strdup(arena, s);
  return (wn_str){copy, copy != NULL ? s.len : 0};
}
