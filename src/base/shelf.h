#ifndef WN_BASE_SHELF_H
#define WN_BASE_SHELF_H
/* Rows of equal elements by number, in memory up to a bound; beyond it those that were used least
 * lately lie in a file of the process's own, until they are asked for (shelf.c).
 *
 * Threads: wn_shelf_read from any number of them at once; everything else alone. */

#include "base/arena.h"
#include <stdbool.h>

typedef struct wn_shelf wn_shelf;

/* A row in memory. len is the caller's; the rest is not. */
typedef struct wn_shelf_row {
  union {
    void *data;
    uint64_t place; /* in the file, of a row that is away */
  } at;
  uint32_t len;
  uint32_t cap : 29;
  uint32_t known : 1, listed : 1, away : 1;
} wn_shelf_row;

#define WN_SHELF_CAP_MAX ((1u << 29) - 1)

wn_shelf *wn_shelf_create(size_t element_bytes); /* without a bound; NULL: out of memory */
void wn_shelf_free(wn_shelf *shelf);             /* and what lies in the file */
/* At most so many bytes of rows in memory after each wn_shelf_settle; the file will be one without
 * a name in the folder `dir`, which the shelf borrows. */
void wn_shelf_bound(wn_shelf *shelf, const char *dir, size_t bytes_max);

bool wn_shelf_knows(const wn_shelf *shelf, uint32_t number);
/* The row in memory, made if it is not known (len 0, cap 0): valid until the next call of take,
 * settle or empty. WN_E_MEMORY, WN_E_IO: the file does not give it back; nothing has changed. */
WN_MUST_USE wn_status wn_shelf_take(wn_shelf *shelf, uint32_t number, wn_shelf_row **out,
                                    wn_error *err);
/* Room for `cap` elements, never less than before. False: out of memory. */
WN_MUST_USE bool wn_shelf_reserve(wn_shelf *shelf, wn_shelf_row *row, uint32_t cap);
/* Puts rows away until the bound holds. Where the file takes nothing they stay. */
void wn_shelf_settle(wn_shelf *shelf);
/* The row's content is gone, from the file, too; it stays known. Cannot fail. Returns its len. */
uint32_t wn_shelf_empty(wn_shelf *shelf, uint32_t number);
void wn_shelf_drop(wn_shelf *shelf, uint32_t number); /* it is not known any more, either */
/* The content: where it lies, or a copy in `arena` of what is away (and stays there). */
WN_MUST_USE wn_status wn_shelf_read(const wn_shelf *shelf, uint32_t number, wn_arena *arena,
                                    const void **data, uint32_t *len, wn_error *err);

typedef struct wn_shelf_stats {
  size_t bytes; /* in memory: rows, what finds them and the file's free places */
  uint64_t away, file_bytes;
  uint64_t put_away, brought_back, failures; /* so far */
} wn_shelf_stats;
void wn_shelf_stats_get(const wn_shelf *shelf, wn_shelf_stats *out);
void wn_shelf_stats_add(wn_shelf_stats *sum, const wn_shelf_stats *more);

#endif
