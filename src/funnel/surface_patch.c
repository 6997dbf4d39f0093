#include "funnel/surface_patch.h"
#include "base/mem.h"
#include <string.h>

/* Counts the runs and their bytes; fills them in where there is room for them. */
static void find_runs(const unsigned char *from, const unsigned char *to, wn_surface_patch *out,
                      size_t *runs, size_t *bytes) {
  *runs = *bytes = 0;
  for (size_t i = 0; i < sizeof(wn_surface);) {
    size_t start = i;
    while (i < sizeof(wn_surface) && from[i] != to[i]) i++;
    if (i > start) {
      if (out->runs != NULL) {
        out->runs[*runs] = (wn_surface_run){(uint32_t)start, (uint32_t)(i - start)};
        memcpy(out->bytes + *bytes, to + start, i - start);
      }
      ++*runs;
      *bytes += i - start;
    }
    i++;
  }
}

wn_status wn_surface_patch_between(const wn_surface *from, const wn_surface *to,
                                   wn_surface_patch *out, wn_error *err) {
  size_t runs, bytes;
  *out = (wn_surface_patch){0};
  const unsigned char *a = (const unsigned char *)from, *b = (const unsigned char *)to;
  find_runs(a, b, out, &runs, &bytes);
  if (runs == 0) return WN_OK;
  wn_surface_run *data = wn_reallocarray(NULL, runs, sizeof *data);
  out->bytes = wn_malloc(bytes);
  out->runs = data;
  if (out->runs == NULL || out->bytes == NULL) {
    wn_surface_patch_clear(out);
    return wn_fail_memory(err);
  }
  find_runs(a, b, out, &runs, &bytes);
  out->runs_len = runs;
  return WN_OK;
}

wn_status wn_surface_patch_copy(const wn_surface_patch *from, wn_surface_patch *to, wn_error *err) {
  size_t bytes = 0;
  for (size_t i = 0; i < from->runs_len; i++) bytes += from->runs[i].len;
  *to = (wn_surface_patch){0};
  if (from->runs_len == 0) return WN_OK;
  to->runs = wn_reallocarray(NULL, from->runs_len, sizeof *to->runs);
  to->bytes = wn_malloc(bytes);
  if (to->runs == NULL || to->bytes == NULL) {
    wn_surface_patch_clear(to);
    return wn_fail_memory(err);
  }
  memcpy(to->runs, from->runs, from->runs_len * sizeof *to->runs);
  memcpy(to->bytes, from->bytes, bytes);
  to->runs_len = from->runs_len;
  return WN_OK;
}

void wn_surface_patch_apply(const wn_surface_patch *patch, wn_surface *surface) {
  const unsigned char *bytes = patch->bytes;
  for (size_t i = 0; i < patch->runs_len; i++) {
    memcpy((unsigned char *)surface + patch->runs[i].at, bytes, patch->runs[i].len);
    bytes += patch->runs[i].len;
  }
}

void wn_surface_patch_clear(wn_surface_patch *patch) {
  wn_free(patch->runs);
  wn_free(patch->bytes);
  *patch = (wn_surface_patch){0};
}
