#ifndef WN_MODEL_VECTORS_FILE_H
#define WN_MODEL_VECTORS_FILE_H
/* Vectors of items that were made elsewhere: DIR/vectors.wns in the data directory, in the
 * container of snapshots (checksummed, mapped, whole or absent). It holds external ids, so that it
 * may be imported before the items are; training looks them up. */

#include "data/dataset.h"
#include "data/npy.h"
#include "model/snapshot.h"

typedef struct wn_vectors_report {
  uint64_t vectors;
  uint64_t zero; /* of these: nothing but zeros, which no cosine can use */
  uint32_t d;
} wn_vectors_report;

/* Row r of the .npy file `npy` is the vector of the item on line r + 1 of the text file `ids`.
 * Replaces what was there, once all of it has been read and found good; works beside a running
 * server. WN_E_FORMAT names the row or line: not finite, too many or too few, no id, an id that
 * comes again. */
WN_MUST_USE wn_status wn_vectors_import(const char *dir, const char *npy, const char *ids,
                                        wn_vectors_report *report, wn_error *err);

typedef struct wn_vectors_file {
  wn_snapshot *file; /* NULL: nothing was imported */
  wn_matrix rows;
  uint32_t *row;    /* by place in vectors.item: its row */
  wn_item_ix *item; /* owned; vectors.item */
  wn_item_vectors vectors;
} wn_vectors_file;

/* The vectors of those of `items` that are below `count`. Must not move while `vectors` is used. */
WN_MUST_USE wn_status wn_vectors_open(const char *dir, const wn_dict *items, uint32_t count,
                                      wn_vectors_file *out, wn_error *err);
void wn_vectors_close(wn_vectors_file *file);

#endif
