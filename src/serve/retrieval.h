#ifndef WN_SERVE_RETRIEVAL_H
#define WN_SERVE_RETRIEVAL_H
/* Indexes of a fitted als: when it knows more items than server.index_items_min, its candidates,
 * neighbours of items and neighbours of users come from indexes of their own instead of a scan:
 * items by inner product, items by cosine over the same rows, users by cosine. Training builds them
 * and writes them into the snapshot, so that a server only maps them; of a snapshot without, the
 * server builds them itself.
 *
 * Sections: "index/rows" (f32 [items][d], the items' vectors by item, 0 where there is none),
 * "index/items", "index/alike" and "index/users" (images without rows, index/image.h). Users' rows
 * are those of the model. In the snapshot 4·d bytes an item, and codes of at most d + 16 bytes an
 * item twice and a user once; as much memory where the server builds.
 *
 * Users fold in at each request, so an index of users holds the vectors of the snapshot: that is
 * also what a scan sees. */
#include "base/thread.h"
#include "model/als.h"

typedef struct wn_retrieval wn_retrieval;
struct wn_index;

typedef struct wn_retrieval_options {
  uint32_t items_min; /* fewer items, or users, are scanned */
  wn_pool *pool;      /* NULL: this thread alone */
  const wn_progress *progress;
} wn_retrieval_options;

/* The snapshot's; *out NULL: it does not hold all that is wanted. The snapshot must stay. */
WN_MUST_USE wn_status wn_retrieval_map(const wn_snapshot *snapshot, const wn_als *als,
                                       const wn_retrieval_options *options, wn_retrieval **out,
                                       wn_error *err);
/* From the model's vectors; *out NULL: there are too few for an index to be wanted. */
WN_MUST_USE wn_status wn_retrieval_build(const wn_als *als, const wn_retrieval_options *options,
                                         wn_retrieval **out, wn_error *err);
void wn_retrieval_free(wn_retrieval *retrieval); /* NULL is fine */

/* For wn_als_attach; lives as long as the retrieval. */
const wn_nearest *wn_retrieval_nearest(const wn_retrieval *retrieval);
struct wn_index *wn_retrieval_index(const wn_retrieval *retrieval, int kind); /* or NULL */
size_t wn_retrieval_row_bytes(const wn_retrieval *retrieval); /* of rows that are not mapped */

/* Training's: the sections for these models, if any are wanted. What cannot be built is left out,
 * and the log says why. `ctx`: wn_retrieval_options, but for `progress`. */
WN_MUST_USE wn_status wn_retrieval_write(const void *ctx, const wn_models *models,
                                         const wn_progress *progress, wn_snapshot_writer *writer,
                                         wn_error *err);

#endif
