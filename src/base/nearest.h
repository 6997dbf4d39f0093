#ifndef WN_BASE_NEAREST_H
#define WN_BASE_NEAREST_H
/* Nearest vectors, as a model asks for them and an index answers. Model and index are siblings and
 * do not know each other: who serves both puts this between them (serve/engine_index.c). */

#include "base/bitset.h"
#include "base/topk.h"

typedef enum wn_nearest_kind {
  WN_NEAREST_ITEMS, /* by inner product */
  WN_NEAREST_ALIKE, /* items by cosine */
  WN_NEAREST_USERS, /* by cosine */
  WN_NEAREST_KINDS
} wn_nearest_kind;

typedef struct wn_nearest_ask {
  wn_nearest_kind kind;
  const float *x;
  size_t k;
  const wn_bitset *allowed; /* NULL: all */
} wn_nearest_ask;

typedef struct wn_nearest {
  void *ctx;
  bool (*answers)(const void *ctx, wn_nearest_kind kind);
  /* The k best, best first; full when enough are allowed; scores are exact. */
  wn_status (*find)(const void *ctx, const wn_nearest_ask *ask, wn_arena *arena, wn_scored *out,
                    size_t *count, wn_error *err);
  /* An item's vector is another one now, NULL: none. Under the same lock as the model's update.
   * False: could not be noted, and find would answer with an old vector. */
  bool (*put)(void *ctx, uint32_t item, const float *vector);
} wn_nearest;

#endif
