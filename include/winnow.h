#ifndef WINNOW_H
#define WINNOW_H
/* libwinnow: the public C interface. C11 or C++11; nothing else of Winnow is needed to use it.
 *
 * Every function that can fail returns 0 or a code, and says what was wrong in `why` (which may be
 * NULL): one sentence that names the parameter or the place. Nothing here prints, exits or aborts.
 * Handles are opaque; what a function creates is given back to the function that its comment names.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WINNOW_API __attribute__((visibility("default")))

typedef struct wn_why {
  int code; /* as returned: 1 argument, 2 format, 3 not found, 5 input/output, 8 corrupt, 9 memory,
               … */
  char message[640];
} wn_why;
WINNOW_API const char *wn_code_text(int code); /* "malformed input"; never NULL */
WINNOW_API const char *wn_version(void);       /* "0.1.0" */

/* --- Search for the largest inner products among dense vectors ---------------------------------
 *
 * Any number of threads may query; they take no lock and never wait. Put, delete, merge and save
 * may run beside them. An index is made for a recall and measures what it reaches; each query may
 * ask for another one, 1 being exact. */

typedef struct wn_index wn_index;

typedef enum wn_index_score {
  WN_INDEX_IP,     /* ⟨q, x⟩ */
  WN_INDEX_COSINE, /* ⟨q, x⟩ / (‖q‖‖x‖) */
  WN_INDEX_L2      /* −‖q − x‖² */
} wn_index_score;

/* All 0: inner product, recall .99 of the 100 best, all processors, rows copied. */
typedef struct wn_index_settings {
  wn_index_score score;
  double recall;        /* .5 to 1 */
  uint32_t k;           /* that recall is measured at */
  int threads;          /* of building; 0: all */
  uint64_t seed;        /* same rows, settings and seed: the same index */
  const float *queries; /* [queries_count × dims] typical ones, to tune on; NULL: the rows */
  uint32_t queries_count;
  int borrow_rows; /* not 0: rows stay the caller's and must outlive the index */
} wn_index_settings;

/* Row i of `rows` [count × dims] gets the id i. Refuses NaN and infinity with the row's number.
 * Give back with wn_index_destroy. */
WINNOW_API int wn_index_create(const float *rows, uint32_t count, uint32_t dims,
                               const wn_index_settings *settings, wn_index **out, wn_why *why);
WINNOW_API void wn_index_destroy(wn_index *index); /* NULL is fine */

typedef struct wn_hit {
  uint32_t id;
  float score; /* exact, in single precision */
} wn_hit;

/* Zero but k: one vector, every row, at the index's own recall. */
typedef struct wn_index_ask {
  uint32_t k;
  uint32_t count;          /* of vectors; 0: one */
  double recall;           /* 0: the index's; 1: exact */
  const uint64_t *allowed; /* bit id & 63 of word id >> 6: only these; NULL: all */
  uint32_t allowed_bits;   /* ids beyond are not allowed */
} wn_index_ask;

/* The k best of each of ask->count vectors [count × dims], best first, ties to the lower id: those
 * of vector i at hits[i·k], counts[i] of them; fewer than k only when fewer are allowed. */
WINNOW_API int wn_index_find(const wn_index *index, const float *vectors, const wn_index_ask *ask,
                             wn_hit *hits, uint32_t *counts, wn_why *why);

/* Seen by every query that starts after the return. */
WINNOW_API int wn_index_put(wn_index *index, uint32_t id, const float *vector, wn_why *why);
WINNOW_API int wn_index_delete(wn_index *index, uint32_t id,
                               wn_why *why); /* not there: not found */
/* Folds what was put and deleted into the index; to be run in a thread of your own when wanted. */
WINNOW_API int wn_index_merge(wn_index *index, int threads, wn_why *why);
WINNOW_API int wn_index_wants_merge(const wn_index *index);

/* A file is whole or absent. Opening maps it, and checks what memory safety depends on; verifying
 * reads every byte. */
WINNOW_API int wn_index_store(const wn_index *index, const char *path, wn_why *why);
WINNOW_API int wn_index_load(const char *path, wn_index **out, wn_why *why);
WINNOW_API int wn_index_check(const char *path, wn_why *why);

typedef struct wn_index_facts {
  wn_index_score score;
  uint32_t dims, rows;
  uint32_t ids;      /* 1 + the highest of the last merge */
  double recall;     /* asked for */
  double achieved;   /* measured */
  size_t bytes;      /* beside the rows */
  size_t rows_bytes; /* of the rows */
} wn_index_facts;
WINNOW_API wn_index_facts wn_index_describe(const wn_index *index);

#ifdef __cplusplus
}
#endif
#endif
