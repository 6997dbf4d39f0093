#ifndef WN_SERVE_PREVIEW_H
#define WN_SERVE_PREVIEW_H
/* What another policy would change: slates of sampled users under both, with the same chance. */

#include "base/json_write.h"
#include "serve/engine.h"

#define WN_PREVIEW_USERS_MAX 500

typedef struct wn_preview_ask {
  const wn_policy *from, *to;
  const char *surface; /* of at least one of the two */
  uint32_t users;      /* 1 to WN_PREVIEW_USERS_MAX; of a flat surface: items to start from */
  uint64_t seed;       /* of the sample and of what is random in slates */
} wn_preview_ask;

/* Writes an object: population, summary, items that come and go, the slates. Nothing is logged, no
 * feed moves on. WN_E_NOT_FOUND: neither policy has the surface. */
WN_MUST_USE wn_status wn_preview(wn_engine *engine, const wn_preview_ask *ask, wn_json *json,
                                 wn_error *err);

#endif
