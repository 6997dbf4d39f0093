#ifndef WN_BASE_ARENA_H
#define WN_BASE_ARENA_H
/* Memory with the lifetime of a request: bump allocation, one reset, a stated maximum. */

#include "base/str.h"

typedef struct wn_arena_block wn_arena_block;

typedef struct wn_arena {
  wn_arena_block *head;  /* block in use */
  wn_arena_block *first; /* kept over resets */
  size_t used_bytes;     /* handed out since the last reset */
  size_t used_bytes_max; /* limit; an allocation beyond it returns NULL */
} wn_arena;

void wn_arena_init(wn_arena *arena, size_t used_bytes_max);
void wn_arena_clear(wn_arena *arena);               /* frees everything */
void wn_arena_reset(wn_arena *arena);               /* frees all but the first block */
void *wn_arena_alloc(wn_arena *arena, size_t size); /* 64-byte aligned, not zeroed */
void *wn_arena_calloc(wn_arena *arena, size_t count, size_t size); /* zeroed; NULL on overflow */
char *wn_arena_strdup(wn_arena *arena, wn_str s);                  /* NUL-terminated */
wn_str wn_arena_str(wn_arena *arena, wn_str s); /* {NULL,0} when out of memory or absent */

#endif
