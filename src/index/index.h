#ifndef WN_INDEX_INDEX_H
#define WN_INDEX_INDEX_H
/* Maximum-inner-product search over dense vectors, with strict filters and with upserts that the
 * next query sees. Ids are the rows' numbers 0 … n−1; the method is in README.md.
 *
 * Concurrency: any number of threads may search, and they neither wait nor take a lock; upsert,
 * remove, compact and save may run beside them and beside each other (writers take turns).
 * Build, map and free need the handle to themselves. */

#include "base/bitset.h"
#include "base/progress.h"
#include "base/thread.h"
#include "base/topk.h"

typedef struct wn_index wn_index;

#define WN_INDEX_DIMS_MAX 4096u
#define WN_INDEX_ROWS_MAX (1u << 30)

/* What a score is: larger is nearer. */
typedef enum wn_metric {
  WN_METRIC_IP,     /* ⟨q, x⟩ */
  WN_METRIC_COSINE, /* ⟨q, x⟩ / (‖q‖‖x‖), 0 when either is 0 */
  WN_METRIC_L2,     /* −‖q − x‖² */
} wn_metric;

const char *wn_metric_name(wn_metric metric);              /* "ip", "cosine", "l2" */
bool wn_metric_parse(const char *name, wn_metric *metric); /* false: unknown */

/* `count` vectors of `dims` floats, one behind the other. */
typedef struct wn_vectors {
  const float *data;
  uint32_t count;
  uint32_t dims;
} wn_vectors;

#define WN_INDEX_LISTS_AUTO UINT32_MAX

typedef struct wn_index_options {
  wn_metric metric;
  double recall;      /* of the k best, wanted from a search; .5 to 1; 1: exact */
  uint32_t k;         /* that recall is measured at */
  uint32_t lists;     /* inverted lists; 0: one flat list; WN_INDEX_LISTS_AUTO: by size */
  wn_vectors queries; /* typical ones (users), for measuring; borrowed for the call; count 0: rows
                         serve as queries, which fits cosine and l2 better than ip */
  const wn_bitset *present; /* rows that count; NULL: all */
  uint64_t seed;
  bool copy;     /* rows are copied; otherwise borrowed for as long as the index lives */
  wn_pool *pool; /* NULL: this thread alone */
  const wn_progress *progress;
} wn_index_options;

void wn_index_options_defaults(wn_index_options *options); /* ip, .99 at 100, auto */

/* Refuses, with the row's number: NaN, infinity, a norm beyond 1e18. The same rows, options and
 * seed make the same image for any number of threads. */
WN_MUST_USE wn_status wn_index_build(const wn_vectors *rows, const wn_index_options *options,
                                     wn_index **out, wn_error *err);
void wn_index_free(wn_index *index); /* NULL is fine */

/* One question. Zero but `vector` and `k`: all rows, at the recall that the index was built for. */
typedef struct wn_index_query {
  const float *vector;      /* dims floats; refused when not finite */
  uint32_t k;               /* more than there is: all that there is */
  const wn_bitset *allowed; /* only these ids; NULL: all. The list is full when enough are. */
  size_t allowed_count;     /* bits set, if known; 0: counted */
  double recall;            /* 0: the index's; 1: exact; between: the next measured one above; above
                               .999: of the codes' errors two deviations, all else exact */
} wn_index_query;

typedef enum wn_index_plan {
  WN_PLAN_LISTS, /* lists, as deep as the recall wants */
  WN_PLAN_EXACT, /* lists, until nothing better can be left */
  WN_PLAN_ROWS,  /* each allowed row; exact */
  WN_PLAN_PASS,  /* one pass over all codes for a batch; exact */
} wn_index_plan;

/* What a search did. */
typedef struct wn_index_trace {
  wn_index_plan plan;
  uint64_t lanes_scanned; /* int8 scores */
  uint64_t rows_scored;   /* fp32 scores */
} wn_index_trace;

/* An answer: `items` is the caller's room for k; the rest is filled in. */
typedef struct wn_index_answer {
  wn_scored *items;
  size_t count;
  wn_index_trace trace;
} wn_index_answer;

/* The k best, best first, ties to the lower id; scores are fp32 and exact for what is returned.
 * Scratch from `arena`. */
WN_MUST_USE wn_status wn_index_search(const wn_index *index, const wn_index_query *query,
                                      wn_arena *arena, wn_index_answer *answer, wn_error *err);

/* Several questions that share all but the vector: counts[i] results at out[i·k]. Exact ones share
 * one pass over the codes. */
typedef struct wn_index_batch {
  const float *vectors; /* [count · dims] */
  uint32_t count;
  wn_index_query common; /* `vector` is not read */
} wn_index_batch;
WN_MUST_USE wn_status wn_index_search_many(const wn_index *index, const wn_index_batch *batch,
                                           wn_arena *arena, wn_scored *out, uint32_t *counts,
                                           wn_error *err);

/* The exact twin: every visible row scored in fp32, no code, list or bound involved. */
WN_MUST_USE wn_status wn_index_search_twin(const wn_index *index, const wn_index_query *query,
                                           wn_arena *arena, wn_index_answer *answer, wn_error *err);

/* Visible to every search that starts after the return; a search sees all of a change or none.
 * An id beyond the present ones is taken; the numbers between stay empty. */
WN_MUST_USE wn_status wn_index_upsert(wn_index *index, uint32_t id, const float *vector,
                                      wn_error *err);
WN_MUST_USE wn_status wn_index_remove(wn_index *index, uint32_t id,
                                      wn_error *err); /* WN_E_NOT_FOUND: is not there */
/* The row as a search would see it now, copied to `vector`; WN_E_NOT_FOUND. */
WN_MUST_USE wn_status wn_index_get(const wn_index *index, uint32_t id, float *vector,
                                   wn_error *err);

/* Merges what has changed into a new base, beside searches and upserts; run it in a thread of your
 * own when wn_index_wants_compact says so. Searches never wait, writers for well below 1 ms. */
WN_MUST_USE wn_status wn_index_compact(wn_index *index, wn_pool *pool, wn_error *err);
bool wn_index_wants_compact(const wn_index *index);

/* Writing: the index's image as it is now, changes merged in, through `write` in pieces. Reading:
 * `bytes` stay where they are for as long as the index lives (a mapped file, a section of a
 * snapshot) and begin at a multiple of 64. Mapping checks all that memory safety depends on, not
 * every byte: that is wn_index_verify. `rows`: NULL when the image has them. */
typedef struct wn_index_sink {
  void *ctx;
  wn_status (*write)(void *ctx, const void *data, size_t bytes, wn_error *err);
} wn_index_sink;
WN_MUST_USE wn_status wn_index_write(const wn_index *index, bool with_rows,
                                     const wn_index_sink *sink, wn_error *err);
WN_MUST_USE wn_status wn_index_map(const void *bytes, size_t size, const wn_vectors *rows,
                                   wn_index **out, wn_error *err);
/* Every checksum, and that the arrays mean what they should; the message says what is wrong. */
WN_MUST_USE wn_status wn_index_verify(const void *bytes, size_t size, wn_error *err);
/* The same for files: whole or absent, with rows. */
WN_MUST_USE wn_status wn_index_save(const wn_index *index, const char *path, wn_error *err);
WN_MUST_USE wn_status wn_index_open(const char *path, wn_index **out, wn_error *err);
WN_MUST_USE wn_status wn_index_verify_file(const char *path, wn_error *err);

/* What building measured on queries that it did not tune on. */
typedef struct wn_index_level {
  double recall;   /* asked for */
  double achieved; /* found, mean over queries */
  double lanes;    /* int8 scores a query, mean */
} wn_index_level;
#define WN_INDEX_LEVELS 6

typedef struct wn_index_about {
  wn_metric metric;
  uint32_t dims;
  uint32_t coded;     /* dimensions of a code: axes, or dims */
  uint32_t ids;       /* 1 + the highest one that the base holds */
  uint32_t rows;      /* visible now */
  uint32_t lists;     /* 1: flat */
  uint32_t tiers;     /* by norm, that lists are divided into */
  uint32_t changes;   /* since the base was made */
  double recall;      /* asked for at build */
  double achieved;    /* at that recall */
  size_t bytes;       /* of the base, without rows */
  size_t row_bytes;   /* of its rows, wherever they are */
  size_t delta_bytes; /* of the changes */
  size_t own_bytes;   /* memory of its own: all of these but what is mapped or borrowed */
  wn_index_level levels[WN_INDEX_LEVELS]; /* rising recall; all 0 when nothing was measured */
} wn_index_about;
void wn_index_about_of(const wn_index *index, wn_index_about *about);

#endif
