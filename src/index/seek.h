#ifndef WN_INDEX_SEEK_H
#define WN_INDEX_SEEK_H
/* One search: who may still be among the k best, and the ways to find them. */

#include "index/lists.h"
#include "index/live.h"

/* One that may be among the k best: its true score lies in lower … upper. */
typedef struct wn_candidate {
  uint32_t place; /* WN_IN_BASE, WN_IS_KNOWN (lower = upper, exact), or the delta's entry */
  uint32_t id;
  float upper;
  float lower;
} wn_candidate;

#define WN_IN_BASE  (UINT32_MAX - 1)
#define WN_IS_KNOWN UINT32_MAX

#define WN_TALLY 1024u

/* How many candidates' lower ends lie in each of 1,024 steps above a first bound: the k-th greatest
 * of a growing set, to a step. */
typedef struct wn_tally {
  uint32_t *count; /* [WN_TALLY] */
  float floor;     /* of step 0 */
  float step;
  float steps;   /* 1 / step; 0: not begun */
  uint32_t edge; /* at least k candidates lie in steps edge … 1,023 */
  size_t above;  /* this many */
} wn_tally;

typedef struct wn_seek {
  const wn_base *base;
  const wn_delta *delta;
  uint32_t now;
  const wn_bitset *allowed; /* NULL: all */
  size_t allowed_count;     /* bits of it that are set */
  uint32_t *few;            /* the base's visible ones among them, where they are to be scored */
  size_t few_count;
  uint32_t k;
  wn_eta eta; /* shares of the codes' error bounds that count */
  wn_probe probe;
  wn_arena *arena;
  wn_index_trace trace;
  /* the candidates: all of which `upper` ≥ least; least is the k-th greatest `lower` so far */
  float least;
  size_t len, cap;
  size_t next; /* at this many, the worst are dropped */
  wn_candidate *candidates;
  wn_tally tally;
  float *lowers;    /* scratch [cap] */
  uint64_t *keys;   /* scratch [2·cap] */
  uint32_t *hit_at; /* scratch for one run of blocks */
  float *hit_score;
} wn_seek;

#define WN_SEEK_RUN 16u /* blocks scanned between two looks at `least` */

/* Scratch from the arena; false: none left. `seek` has base, delta, now, allowed, k, eta, arena. */
bool wn_seek_init(wn_seek *seek, const float *vector);
/* A candidate whose exact score is known. */
void wn_seek_known(wn_seek *seek, uint32_t id, float score);
/* Hits of a scan of blocks whose first lane's id is ids[0], by a bounded query. */
typedef struct wn_hits {
  const uint32_t *ids;
  const wn_scan_fit *fit;
  const wn_scan_query *query;
  const uint32_t *at;
  const float *score;
  size_t count;
} wn_hits;
void wn_seek_base_hits(wn_seek *seek, const wn_hits *hits);
void wn_seek_delta_hits(wn_seek *seek, const wn_delta_chunk *chunk, uint32_t first,
                        const wn_hits *hits);
/* Scores what is left in fp32 and writes the k best. */
size_t wn_seek_finish(wn_seek *seek, wn_scored *out);
/* The exact score of a visible row of the base. */
float wn_seek_row(wn_seek *seek, uint32_t id);

void wn_seek_delta(wn_seek *seek);
/* Where the query lies to each centre: [lists] views, in fp32 when `exact`, else by codes, a
 * quarter of the memory, where an estimate is enough. False: no memory. */
bool wn_seek_views(const wn_seek *seek, bool exact, wn_list_view *views);
/* Lists, careful to kappa; `exact`: then until nothing better can be left. False: no memory. */
bool wn_seek_lists(wn_seek *seek, float kappa, bool exact);
/* Counts the allowed rows; when they are `most` or fewer, `few` has those to be seen, else it is
 * NULL. Depends on no query. False: no memory. */
bool wn_seek_gather(wn_seek *seek, size_t most);
/* Each of `few`. */
bool wn_seek_rows(wn_seek *seek);
/* `count` searches of the same base share one pass over its codes, careful to kappa. */
bool wn_seek_pass(wn_seek *seeks, size_t count, float kappa, wn_arena *arena);

/* The seek's query for the blocks of its base. */
static inline wn_scan_query wn_seek_query(const wn_seek *seek) {
  wn_code_fit fit = {seek->base->head.code_error, seek->base->head.code_norm};
  return wn_probe_bounded(&seek->probe, fit, seek->eta);
}
static inline bool wn_seek_allows(const wn_seek *seek, uint32_t id) {
  return seek->allowed == NULL || wn_bitset_test(seek->allowed, id);
}

/* How a header's levels answer a wanted recall. */
float wn_kappa_for(const wn_image_header *head, double recall);
/* Lanes that such a search scans. */
float wn_lanes_for(const wn_image_header *head, double recall);
#define WN_ETA_EXACT ((wn_eta){1, 1})
/* For approximate searches: about two deviations of the error. */
wn_eta wn_eta_for(const wn_axes *axes);

#endif
