/* Weights of objectives drawn anew for each user and day. A day is long enough for a user's slates
 * to hang together, and short enough for nobody to keep a bad draw. Draws of different objectives
 * are independent, so that one regression tells all their effects apart. */
#include "funnel/perturb.h"

#include "base/map64.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define DAY_MS 86400000
#define Z_MAX  2.0

static uint64_t day_of(int64_t time_ms) {
  return (uint64_t)(time_ms / DAY_MS);
}

/* Standard normal, drawn again while it lies outside ± Z_MAX. */
static double draw(uint64_t seed) {
  wn_rng rng;
  double z;
  wn_rng_seed(&rng, seed);
  do z = wn_rng_normal(&rng);
  while (fabs(z) > Z_MAX);
  return z;
}

float wn_perturb_factor(const wn_surface *surface, size_t objective, wn_str user, int64_t now_ms) {
  const char *name = surface->objectives[objective].name;
  uint64_t seed = wn_hash64(user.ptr, user.len, day_of(now_ms));
  seed = wn_hash64(surface->name, strlen(surface->name), seed);
  seed = wn_hash64(name, strlen(name), seed);
  return expf(surface->perturb * (float)draw(seed));
}

bool wn_perturb(const wn_surface *surface, wn_str user, int64_t now_ms, wn_surface *out,
                wn_buf *factors) {
  if (!(surface->perturb > 0) || surface->objectives_len == 0 || user.len == 0) return false;
  *out = *surface;
  for (size_t k = 0; k < out->objectives_len; k++) {
    float factor = wn_perturb_factor(surface, k, user, now_ms);
    out->objectives[k].weight *= factor;
    wn_buf_printf(factors, "%s%s*%.6g", k > 0 ? " " : "", out->objectives[k].name, (double)factor);
  }
  return true;
}

bool wn_perturb_next(wn_str *text, wn_str *name, double *factor) {
  const char *star = text->len > 0 ? memchr(text->ptr, '*', text->len) : NULL;
  if (star == NULL) return false;
  *name = (wn_str){text->ptr, (size_t)(star - text->ptr)};
  wn_str rest = {star + 1, text->len - name->len - 1};
  const char *space = memchr(rest.ptr, ' ', rest.len);
  size_t len = space != NULL ? (size_t)(space - rest.ptr) : rest.len;
  if (!wn_parse_double((wn_str){rest.ptr, len}, factor)) return false;
  len += space != NULL;
  *text = (wn_str){rest.ptr + len, rest.len - len};
  return *factor > 0;
}
