/* "WNF1", features and items (32 bits each), the set's hash (64), then one zstd frame (RFC 8878) of
 * the floats by columns, little-endian: a column repeats itself more than a row does. Absent values
 * are one and the same NaN. */
#include "model/feature_log.h"

#include "base/map64.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <zstd.h>

#define LEVEL     1
#define ITEMS_MAX 10000

typedef struct log_head {
  char magic[4];
  uint32_t features, len;
  uint32_t reserved;
  uint64_t set;
} log_head;

uint64_t wn_feature_set_hash(const wn_feature_set *set, const wn_item_facts *facts) {
  wn_feature_set bare = *set; /* what lies past the opinions says nothing */
  memset(bare.opinion + bare.opinions, 0, (WN_OPINIONS_MAX - bare.opinions) * sizeof *bare.opinion);
  uint64_t hash = wn_hash64(&bare, sizeof bare, 0);
  for (uint32_t a = 0; a < set->attrs && a < facts->head.attrs; a++)
    hash = wn_hash64(facts->head.attr[a], strlen(facts->head.attr[a]), hash);
  for (uint32_t c = 0; c < set->contexts && c < facts->head.contexts; c++)
    hash = wn_hash64(facts->head.context[c], strlen(facts->head.context[c]), hash);
  return hash;
}

wn_status wn_feature_log_encode(uint64_t set, const float *const *row, size_t len,
                                uint32_t features, wn_buf *out, wn_error *err) {
  log_head head = {.magic = "WNF1", .features = features, .len = (uint32_t)len, .set = set};
  size_t cells = len * features, bytes = cells * sizeof(float), bound = ZSTD_compressBound(bytes);
  float *columns = wn_malloc(bytes + 1);
  char *packed = wn_malloc(bound);
  wn_status status = WN_OK;
  if (columns == NULL || packed == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t i = 0; i < cells; i++) {
    const float *of = row[i % len];
    columns[i] = of != NULL && !isnan(of[i / len]) ? of[i / len] : NAN;
  }
  size_t size = ZSTD_compress(packed, bound, columns, bytes, LEVEL);
  if (ZSTD_isError(size))
    WN_TRY(wn_fail(err, WN_E_INTERNAL, "features", "zstd: %s", ZSTD_getErrorName(size)));
  wn_buf_append(out, &head, sizeof head);
  wn_buf_append(out, packed, size);
  if (out->failed) WN_TRY(wn_fail_memory(err));
cleanup:
  wn_free(columns);
  wn_free(packed);
  return status;
}

wn_status wn_feature_log_decode(wn_str blob, wn_arena *arena, wn_logged_features *out,
                                wn_error *err) {
  log_head head;
  *out = (wn_logged_features){0};
  if (blob.len < sizeof head || memcmp(blob.ptr, "WNF1", 4) != 0)
    return wn_fail(err, WN_E_CORRUPT, "features", "not features as they are logged");
  memcpy(&head, blob.ptr, sizeof head);
  if (head.features > WN_FEATURES_MAX || head.len > ITEMS_MAX)
    return wn_fail(err, WN_E_CORRUPT, "features", "%" PRIu32 " features of %" PRIu32 " items",
                   head.features, head.len);
  size_t cells = (size_t)head.len * head.features;
  float *columns = wn_arena_alloc(arena, (cells + 1) * sizeof *columns);
  out->feature = wn_arena_alloc(arena, (cells + 1) * sizeof *out->feature);
  if (columns == NULL || out->feature == NULL) return wn_fail_memory(err);
  size_t size = ZSTD_decompress(columns, cells * sizeof *columns, blob.ptr + sizeof head,
                                blob.len - sizeof head);
  if (ZSTD_isError(size) || size != cells * sizeof *columns)
    return wn_fail(err, WN_E_CORRUPT, "features", "%s",
                   ZSTD_isError(size) ? ZSTD_getErrorName(size) : "too short");
  for (size_t i = 0; i < cells; i++)
    out->feature[(i % head.len) * head.features + i / head.len] = columns[i];
  out->set = head.set;
  out->features = head.features;
  out->len = head.len;
  return WN_OK;
}
