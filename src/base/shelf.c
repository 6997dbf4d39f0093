/* Rows by number, the least lately used ones in a file.
 *
 * Which row leaves is the clock's choice (Corbató 1968): a hand goes round the rows in memory,
 * spares once who was used since it last came by, and puts the others away. A row that comes back
 * has the very bytes and the very capacity that it left with, so nothing that its owner does
 * depends on where it has been.
 *
 * The file has no name (O_TMPFILE, or unlinked at once): it is memory of another kind, not data.
 * It ends with the process however that ends, and whoever owns the shelf makes its state again
 * from what is durable. A row takes the least power of two of bytes that holds it, 64 at least,
 * and places are used again by their size, after zeros were written over what they held. Where the
 * file takes no more, rows stay in memory: the bound is given up rather than a row.
 *
 * Memory: 17 bytes a number, in blocks of 64 numbers that are made when the first of them is met,
 * and 8 bytes for each such block; 4 bytes for each row in memory; 8 for each free place of the
 * file. Time: a look-up is two loads; a row that is away costs a pread of it, one that leaves a
 * pwrite. No threads; what chance there is comes from readers, and only chooses who leaves. */

#include "base/shelf.h"
#include "base/mem.h"
#include "base/vec.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { BLOCK = 64, PLACE_BITS_MIN = 6, SIZES = 40 };

typedef struct block {
  wn_shelf_row row[BLOCK];
  _Atomic unsigned char used[BLOCK]; /* since the hand last came by */
} block;

struct wn_shelf {
  size_t element;
  size_t bytes_max;
  const char *dir; /* NULL: no bound */
  int fd;          /* -1: not opened yet */
  bool refused;    /* the folder takes no file */
  WN_VEC(block *) blocks;
  size_t block_count;
  WN_VEC(uint32_t) listed; /* rows in memory, and some that were emptied */
  size_t hand;
  size_t row_bytes;
  uint64_t end; /* of the file */
  WN_VEC(uint64_t) free[SIZES];
  uint64_t away, put_away, brought_back, failures;
};

wn_shelf *wn_shelf_create(size_t element_bytes) {
  wn_shelf *shelf = wn_calloc(1, sizeof *shelf);
  if (shelf == NULL) return NULL;
  shelf->element = element_bytes;
  shelf->fd = -1;
  return shelf;
}

void wn_shelf_free(wn_shelf *shelf) {
  if (shelf == NULL) return;
  for (size_t b = 0; b < shelf->blocks.len; b++) {
    block *of = shelf->blocks.data[b];
    for (size_t i = 0; of != NULL && i < BLOCK; i++)
      if (!of->row[i].away) wn_free(of->row[i].at.data);
    wn_free(of);
  }
  for (size_t i = 0; i < SIZES; i++) wn_vec_clear(&shelf->free[i]);
  wn_vec_clear(&shelf->blocks);
  wn_vec_clear(&shelf->listed);
  if (shelf->fd >= 0) close(shelf->fd);
  wn_free(shelf);
}

void wn_shelf_bound(wn_shelf *shelf, const char *dir, size_t bytes_max) {
  shelf->dir = dir;
  shelf->bytes_max = bytes_max;
}

/* ---- rows by number ---- */

static block *block_of(const wn_shelf *shelf, uint32_t number) {
  size_t at = number / BLOCK;
  return at < shelf->blocks.len ? shelf->blocks.data[at] : NULL;
}

static wn_shelf_row *find(const wn_shelf *shelf, uint32_t number) {
  block *b = block_of(shelf, number);
  wn_shelf_row *row = b != NULL ? &b->row[number % BLOCK] : NULL;
  return row != NULL && row->known ? row : NULL;
}

bool wn_shelf_knows(const wn_shelf *shelf, uint32_t number) {
  return find(shelf, number) != NULL;
}

/* The number's row, known or not; NULL: out of memory. */
static wn_shelf_row *row_at(wn_shelf *shelf, uint32_t number) {
  size_t at = number / BLOCK;
  if (!wn_vec_reserve(&shelf->blocks, at + 1)) return NULL;
  while (shelf->blocks.len <= at) shelf->blocks.data[shelf->blocks.len++] = NULL;
  block **b = &shelf->blocks.data[at];
  if (*b == NULL) {
    *b = wn_calloc(1, sizeof **b);
    shelf->block_count += *b != NULL;
  }
  return *b != NULL ? &(*b)->row[number % BLOCK] : NULL;
}

static void use(block *b, uint32_t number) {
  _Atomic unsigned char *used = &b->used[number % BLOCK];
  /* Most rows are marked already, and a store would take the cache line from other readers. */
  if (atomic_load_explicit(used, memory_order_relaxed) == 0)
    atomic_store_explicit(used, 1, memory_order_relaxed);
}

/* ---- the file ---- */

static bool open_file(wn_shelf *shelf) {
  char path[4096];
  if (shelf->fd >= 0) return true;
  if (shelf->refused) return false;
#ifdef O_TMPFILE
  shelf->fd = open(shelf->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
#endif
  if (shelf->fd < 0) { /* a file system that knows no such files */
    int n =
        snprintf(path, sizeof path, "%s/shelf-%ld-%p", shelf->dir, (long)getpid(), (void *)shelf);
    if (n > 0 && (size_t)n < sizeof path)
      shelf->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (shelf->fd >= 0) unlink(path);
  }
  shelf->refused = shelf->fd < 0 && errno != ENOSPC && errno != EMFILE && errno != ENFILE;
  return shelf->fd >= 0;
}

/* The least power of two that holds the row. */
static unsigned size_of(const wn_shelf *shelf, uint32_t len) {
  unsigned bits = PLACE_BITS_MIN;
  while (((uint64_t)1 << bits) < (uint64_t)len * shelf->element) bits++;
  return bits;
}

static bool write_at(const wn_shelf *shelf, const void *data, size_t len, uint64_t place) {
  const char *from = data;
  while (len > 0) {
    ssize_t n = pwrite(shelf->fd, from, len, (off_t)place);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    from += n;
    place += (uint64_t)n;
    len -= (size_t)n;
  }
  return true;
}

static wn_status read_at(const wn_shelf *shelf, void *data, size_t len, uint64_t place,
                         wn_error *err) {
  char *to = data;
  while (len > 0) {
    ssize_t n = pread(shelf->fd, to, len, (off_t)place);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return wn_fail_errno(err, "", "cannot read back a row put away in %s", shelf->dir);
    if (n == 0)
      return wn_fail(err, WN_E_IO, "", "a row put away in %s is not there any more", shelf->dir);
    to += n;
    place += (uint64_t)n;
    len -= (size_t)n;
  }
  return WN_OK;
}

/* Zeros over what was written there; what cannot be overwritten ends with the process. */
static void wipe(const wn_shelf *shelf, const wn_shelf_row *row) {
  static const char zeros[4096];
  uint64_t left = (uint64_t)row->len * shelf->element, at = row->at.place;
  while (left > 0) {
    size_t n = left < sizeof zeros ? (size_t)left : sizeof zeros;
    if (!write_at(shelf, zeros, n, at)) return;
    at += n;
    left -= n;
  }
}

static uint64_t place_take(wn_shelf *shelf, unsigned bits) {
  if (shelf->free[bits].len > 0) return shelf->free[bits].data[--shelf->free[bits].len];
  uint64_t place = shelf->end;
  shelf->end += (uint64_t)1 << bits;
  return place;
}

/* Without the memory to note it, the place stays empty until the shelf goes. */
static void place_give(wn_shelf *shelf, unsigned bits, uint64_t place) {
  (void)wn_vec_push(&shelf->free[bits], place);
}

static void leave_place(wn_shelf *shelf, const wn_shelf_row *row) {
  wipe(shelf, row);
  place_give(shelf, size_of(shelf, row->len), row->at.place);
  shelf->away--;
}

static bool put_away(wn_shelf *shelf, wn_shelf_row *row) {
  unsigned bits = size_of(shelf, row->len);
  if (!open_file(shelf)) return false;
  uint64_t place = place_take(shelf, bits);
  if (!write_at(shelf, row->at.data, row->len * shelf->element, place)) {
    place_give(shelf, bits, place);
    return false;
  }
  wn_free(row->at.data);
  shelf->row_bytes -= row->cap * shelf->element;
  row->at.place = place;
  row->away = true;
  shelf->away++;
  shelf->put_away++;
  return true;
}

static wn_status bring_back(wn_shelf *shelf, wn_shelf_row *row, wn_error *err) {
  wn_status status = WN_OK;
  void *data = wn_reallocarray(NULL, row->cap, shelf->element);
  if (data == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(read_at(shelf, data, row->len * shelf->element, row->at.place, err));
  leave_place(shelf, row);
  row->at.data = data;
  row->away = false;
  shelf->row_bytes += row->cap * shelf->element;
  shelf->brought_back++;
  data = NULL;
cleanup:
  wn_free(data);
  return status;
}

/* ---- what owners call ---- */

wn_status wn_shelf_take(wn_shelf *shelf, uint32_t number, wn_shelf_row **out, wn_error *err) {
  wn_status status = WN_OK;
  wn_shelf_row *row = row_at(shelf, number);
  *out = NULL;
  if (row == NULL || !wn_vec_reserve(&shelf->listed, shelf->listed.len + 1))
    return wn_fail_memory(err);
  if (row->away) WN_TRY(bring_back(shelf, row, err));
  if (!row->listed) shelf->listed.data[shelf->listed.len++] = number;
  row->listed = row->known = true;
  use(block_of(shelf, number), number);
  *out = row;
cleanup:
  return status;
}

bool wn_shelf_reserve(wn_shelf *shelf, wn_shelf_row *row, uint32_t cap) {
  if (cap <= row->cap) return true;
  if (cap > WN_SHELF_CAP_MAX) return false;
  void *data = wn_reallocarray(row->at.data, cap, shelf->element);
  if (data == NULL) return false;
  shelf->row_bytes += (cap - row->cap) * shelf->element;
  row->at.data = data;
  row->cap = cap & WN_SHELF_CAP_MAX;
  return true;
}

static void unlist(wn_shelf *shelf, wn_shelf_row *row) {
  row->listed = false;
  shelf->listed.data[shelf->hand] = shelf->listed.data[--shelf->listed.len];
}

void wn_shelf_settle(wn_shelf *shelf) {
  if (shelf->dir == NULL) return;
  while (shelf->row_bytes > shelf->bytes_max && shelf->listed.len > 0) {
    if (shelf->hand >= shelf->listed.len) shelf->hand = 0;
    uint32_t number = shelf->listed.data[shelf->hand];
    block *b = block_of(shelf, number);
    wn_shelf_row *row = &b->row[number % BLOCK];
    _Atomic unsigned char *used = &b->used[number % BLOCK];
    if (row->cap == 0) {
      unlist(shelf, row);
    } else if (atomic_exchange_explicit(used, 0, memory_order_relaxed) != 0) {
      shelf->hand++;
    } else if (put_away(shelf, row)) {
      unlist(shelf, row);
    } else {
      shelf->failures++;
      return;
    }
  }
}

uint32_t wn_shelf_empty(wn_shelf *shelf, uint32_t number) {
  wn_shelf_row *row = find(shelf, number);
  if (row == NULL) return 0;
  uint32_t len = row->len;
  if (row->away) {
    leave_place(shelf, row);
  } else {
    wn_free(row->at.data);
    shelf->row_bytes -= row->cap * shelf->element;
  }
  row->at.data = NULL;
  row->len = 0;
  row->cap = 0;
  row->away = false;
  return len;
}

void wn_shelf_drop(wn_shelf *shelf, uint32_t number) {
  wn_shelf_row *row = find(shelf, number);
  if (row == NULL) return;
  (void)wn_shelf_empty(shelf, number);
  row->known = false;
}

wn_status wn_shelf_read(const wn_shelf *shelf, uint32_t number, wn_arena *arena, const void **data,
                        uint32_t *len, wn_error *err) {
  const wn_shelf_row *row = find(shelf, number);
  *data = NULL;
  *len = 0;
  if (row == NULL || row->len == 0) return WN_OK;
  if (!row->away) {
    use(block_of(shelf, number), number);
    *data = row->at.data;
    *len = row->len;
    return WN_OK;
  }
  void *copy = wn_arena_alloc(arena, row->len * shelf->element);
  if (copy == NULL) return wn_fail_memory(err);
  wn_status status = read_at(shelf, copy, row->len * shelf->element, row->at.place, err);
  if (status != WN_OK) return status;
  *data = copy;
  *len = row->len;
  return WN_OK;
}

void wn_shelf_stats_get(const wn_shelf *shelf, wn_shelf_stats *out) {
  *out = (wn_shelf_stats){.away = shelf->away,
                          .file_bytes = shelf->end,
                          .put_away = shelf->put_away,
                          .brought_back = shelf->brought_back,
                          .failures = shelf->failures};
  out->bytes = sizeof *shelf + shelf->row_bytes + shelf->block_count * sizeof(block) +
               shelf->blocks.cap * sizeof(block *) + shelf->listed.cap * sizeof(uint32_t);
  for (size_t i = 0; i < SIZES; i++) out->bytes += shelf->free[i].cap * sizeof(uint64_t);
}

void wn_shelf_stats_add(wn_shelf_stats *sum, const wn_shelf_stats *more) {
  sum->bytes += more->bytes;
  sum->away += more->away;
  sum->file_bytes += more->file_bytes;
  sum->put_away += more->put_away;
  sum->brought_back += more->brought_back;
  sum->failures += more->failures;
}
