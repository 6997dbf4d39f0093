#ifndef WN_FUNNEL_SURFACE_PATCH_H
#define WN_FUNNEL_SURFACE_PATCH_H
/* What a variant of a surface changes, so that variants of several experiments can be put together
 * for one request. A surface is plain data, and a patch the bytes in which the variant differs: it
 * needs no list of fields to be kept up to date. Patches that touch different keys of the
 * configuration commute. */

#include "funnel/surface.h"

typedef struct wn_surface_run {
  uint32_t at, len; /* bytes of wn_surface */
} wn_surface_run;

typedef struct wn_surface_patch {
  wn_surface_run *runs; /* ascending */
  size_t runs_len;
  unsigned char *bytes; /* of all runs, one after the other */
} wn_surface_patch;

WN_MUST_USE wn_status wn_surface_patch_between(const wn_surface *from, const wn_surface *to,
                                               wn_surface_patch *out, wn_error *err);
WN_MUST_USE wn_status wn_surface_patch_copy(const wn_surface_patch *from, wn_surface_patch *to,
                                            wn_error *err);
void wn_surface_patch_apply(const wn_surface_patch *patch, wn_surface *surface);
void wn_surface_patch_clear(wn_surface_patch *patch);

#endif
