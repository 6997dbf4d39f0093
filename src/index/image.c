/* Images: layout, mapping, verification, writing. XXH3-64 over each section and over the header.
 * Mapping reads the header, the list table and the ids (4 bytes a row): a wrong float makes wrong
 * answers, a wrong index reads foreign memory. */
#include "index/image.h"
#include "base/map64.h"
#include "base/mem.h"
#include "base/simd/simd.h"
#include "index/cluster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char *const part_names[WN_PARTS] = {"codes",    "fits",    "axes",  "bias",
                                                 "ids",      "bounds",  "lists", "centres",
                                                 "inverses", "present", "rows"};

static uint64_t align_up(uint64_t at) {
  return (at + (WN_IMAGE_ALIGN - 1)) & ~(uint64_t)(WN_IMAGE_ALIGN - 1);
}

static size_t groups_of(uint32_t kept) {
  return ((size_t)kept + 3) / 4;
}

bool wn_image_layout(wn_image_header *head) {
  uint64_t lanes = (uint64_t)head->blocks * WN_SCAN_LANES, dims = head->dims, ids = head->ids;
  uint64_t centre_dims = wn_centre_dims(head->metric, head->dims);
  bool l2 = head->metric == WN_METRIC_L2, cosine = head->metric == WN_METRIC_COSINE;
  const uint64_t bytes[WN_PARTS] = {
      [WN_PART_CODES] = (uint64_t)head->blocks * groups_of(head->kept) * 64,
      [WN_PART_FITS] = (uint64_t)head->blocks * sizeof(wn_scan_fit),
      [WN_PART_AXES] = wn_axes_bytes(head->dims, head->kept),
      [WN_PART_BIAS] = l2 ? lanes * sizeof(float) : 0,
      [WN_PART_IDS] = lanes * sizeof(uint32_t),
      [WN_PART_BOUNDS] = (uint64_t)head->blocks * sizeof(wn_bound),
      [WN_PART_LISTS] = ((uint64_t)head->lists + 1) * sizeof(uint32_t),
      [WN_PART_CENTRES] = ((uint64_t)head->lists + 15) / 16 * 16 * centre_dims * sizeof(float),
      [WN_PART_INVERSES] = cosine ? ids * sizeof(float) : 0,
      [WN_PART_PRESENT] = (ids + 63) / 64 * sizeof(uint64_t),
      [WN_PART_ROWS] = head->with_rows != 0 ? ids * dims * sizeof(float) : 0,
  };
  uint64_t at = align_up(sizeof *head);
  for (int i = 0; i < WN_PARTS; i++) {
    head->parts[i].offset = at;
    head->parts[i].bytes = bytes[i];
    at = align_up(at + bytes[i]);
  }
  head->bytes = at;
  return at <= SIZE_MAX / 2;
}

/* Pointers into the image at `bytes`. */
static void resolve(wn_base *base, const unsigned char *bytes) {
  const wn_image_part *parts = base->head.parts;
  base->groups = groups_of(base->head.kept);
  base->codes = bytes + parts[WN_PART_CODES].offset;
  base->fits = (const wn_scan_fit *)(const void *)(bytes + parts[WN_PART_FITS].offset);
  base->axes = (wn_axes){base->head.dims, base->head.kept, base->head.spread, NULL};
  if (base->head.kept < base->head.dims) {
    base->axes.blocks = (const float *)(const void *)(bytes + parts[WN_PART_AXES].offset);
  }
  base->ids = (const uint32_t *)(const void *)(bytes + parts[WN_PART_IDS].offset);
  base->bounds = (const wn_bound *)(const void *)(bytes + parts[WN_PART_BOUNDS].offset);
  base->lists = (const uint32_t *)(const void *)(bytes + parts[WN_PART_LISTS].offset);
  base->centres = (const float *)(const void *)(bytes + parts[WN_PART_CENTRES].offset);
  base->present = (const uint64_t *)(const void *)(bytes + parts[WN_PART_PRESENT].offset);
  if (base->head.metric == WN_METRIC_L2) {
    base->bias = (const float *)(const void *)(bytes + parts[WN_PART_BIAS].offset);
  }
  if (base->head.metric == WN_METRIC_COSINE) {
    base->inverses = (const float *)(const void *)(bytes + parts[WN_PART_INVERSES].offset);
  }
  if (base->head.with_rows != 0) {
    base->rows = (const float *)(const void *)(bytes + parts[WN_PART_ROWS].offset);
  }
}

/* Zeroes that take memory only where they are written: rows that never change cost nothing. */
static void *fresh_pages(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p != MAP_FAILED ? p : NULL;
}

static size_t died_bytes(const wn_image_header *head) {
  return ((size_t)head->ids + 1) * sizeof(uint32_t);
}

static wn_status allocate(const wn_image_header *head, wn_base **out, wn_error *err) {
  wn_base *base = wn_calloc(1, sizeof *base);
  if (base == NULL) return wn_fail_memory(err);
  base->head = *head;
  base->died = fresh_pages(died_bytes(head));
  base->struck = wn_calloc((size_t)head->ids / 64 + 1, sizeof *base->struck);
  base->tops = wn_calloc(head->lists, sizeof *base->tops);
  if (base->died == NULL || base->struck == NULL || base->tops == NULL) {
    wn_base_free(base);
    return wn_fail_memory(err);
  }
  *out = base;
  return WN_OK;
}

/* Large tables read at random cost a page walk a visit with small pages. Advice only. */
void wn_advise_huge(void *memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t page = (uintptr_t)1 << 21;
  uintptr_t begin = ((uintptr_t)memory + page - 1) & ~(page - 1);
  uintptr_t end = ((uintptr_t)memory + bytes) & ~(page - 1);
  if (end > begin) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
  (void)memory;
  (void)bytes;
#endif
}

float *wn_rows_create(size_t count) {
  size_t bytes = count * sizeof(float) + WN_IMAGE_ALIGN;
  float *block = wn_calloc(bytes, 1);
  if (block != NULL) wn_advise_huge(block, bytes);
  return block;
}

wn_status wn_base_create(const wn_image_header *head, wn_base **out, wn_error *err) {
  wn_status status;
  wn_base *base = NULL;
  wn_image_header laid = *head;
  laid.with_rows = 0;
  memcpy(laid.magic, WN_IMAGE_MAGIC, sizeof laid.magic);
  laid.version = WN_IMAGE_VERSION;
  if (!wn_image_layout(&laid)) return wn_fail(err, WN_E_TOO_LARGE, "rows", "too many for memory");
  WN_TRY(allocate(&laid, &base, err));
  /* room to begin at a multiple of 64; `image` is the block, the pointers go past the gap */
  base->image = wn_calloc((size_t)laid.bytes + WN_IMAGE_ALIGN, 1);
  if (base->image == NULL) WN_TRY(wn_fail_memory(err));
  wn_advise_huge(base->image, (size_t)laid.bytes);
  resolve(base, wn_base_part(base, -1));
  *out = base;
  return WN_OK;
cleanup:
  wn_base_free(base);
  return status;
}

void *wn_base_part(wn_base *base, int part) {
  size_t over = (size_t)((uintptr_t)base->image & (WN_IMAGE_ALIGN - 1));
  unsigned char *start = base->image + (over == 0 ? 0 : WN_IMAGE_ALIGN - over);
  return part < 0 ? start : start + base->head.parts[part].offset;
}

void wn_base_centres(const wn_base *base, float *out) {
  size_t dims = base->head.dims, rows = wn_centre_dims(base->head.metric, base->head.dims);
  for (size_t c = 0; c < base->head.lists; c++) {
    const float *block = base->centres + c / 16 * rows * 16 + c % 16;
    for (size_t j = 0; j < dims; j++) out[c * dims + j] = block[j * 16];
  }
}

wn_status wn_base_derive(wn_base *base, wn_error *err) {
  static const wn_bound none = {-INFINITY, -INFINITY, 0};
  const wn_image_header *head = &base->head;
  float *centres = wn_malloc((size_t)head->lists * head->dims * sizeof *centres);
  if (centres == NULL) return wn_fail_memory(err);
  wn_base_centres(base, centres);
  wn_status status = wn_coarse_create(&base->axes, centres, head->lists, (wn_metric)head->metric,
                                      &base->coarse, err);
  wn_free(centres);
  for (uint32_t l = 0; l < head->lists; l++) {
    uint32_t first = base->lists[l];
    base->tops[l] = first < base->lists[l + 1] ? base->bounds[first] : none;
  }
  return status;
}

void wn_base_free(wn_base *base) {
  if (base == NULL) return;
  if (base->died != NULL) (void)munmap(base->died, died_bytes(&base->head));
  wn_free(base->struck);
  wn_free(base->tops);
  wn_coarse_free(base->coarse);
  wn_free(base->image);
  wn_free(base->own_rows);
  wn_free(base);
}

static wn_status damaged(wn_error *err, const char *part, const char *why) {
  return wn_fail(err, WN_E_CORRUPT, part, "%s", why);
}

static uint64_t head_checksum(const wn_image_header *head) {
  return wn_hash64(head, offsetof(wn_image_header, checksum), 0);
}

static bool tiers_fit(const wn_image_header *head) {
  const wn_tiers *tiers = &head->tiers;
  if (tiers->count == 0 || tiers->count > WN_TIERS_MAX || tiers->first[0] != 0) return false;
  for (uint32_t t = 0; t < tiers->count; t++) {
    if (tiers->first[t] >= tiers->first[t + 1]) return false;
  }
  return tiers->first[tiers->count] == head->lists;
}

/* The header alone: what it claims must be possible and fit into `size` bytes. */
static wn_status read_head(const void *bytes, size_t size, wn_image_header *head, wn_error *err) {
  if (size < sizeof *head) return damaged(err, "header", "shorter than an index's header");
  if ((uintptr_t)bytes % WN_IMAGE_ALIGN != 0) {
    return wn_fail(err, WN_E_ARGUMENT, "bytes", "must begin at a multiple of 64");
  }
  memcpy(head, bytes, sizeof *head);
  if (memcmp(head->magic, WN_IMAGE_MAGIC, sizeof head->magic) != 0) {
    return damaged(err, "header", "does not begin as an index does");
  }
  if (head->version != WN_IMAGE_VERSION) {
    return wn_fail(err, WN_E_UNSUPPORTED, "header", "version %u, this program reads %u",
                   head->version, WN_IMAGE_VERSION);
  }
  if (head->checksum != head_checksum(head)) return damaged(err, "header", "checksum differs");
  if (head->metric > WN_METRIC_L2 || head->with_rows > 1 || head->reserved != 0 ||
      !(head->spread >= 0) || head->dims == 0 || head->dims > WN_INDEX_DIMS_MAX ||
      !wn_axes_valid(head->dims, head->kept) || head->ids > WN_INDEX_ROWS_MAX ||
      head->rows > head->ids || head->lists == 0 || head->lists > WN_INDEX_ROWS_MAX ||
      head->blocks > WN_INDEX_ROWS_MAX || head->k == 0 || !tiers_fit(head)) {
    return damaged(err, "header", "a count or flag is out of range");
  }
  wn_image_header laid = *head;
  if (!wn_image_layout(&laid)) return damaged(err, "header", "claims more than memory can hold");
  for (int i = 0; i < WN_PARTS; i++) laid.parts[i].checksum = head->parts[i].checksum;
  if (laid.bytes != head->bytes || memcmp(laid.parts, head->parts, sizeof laid.parts) != 0) {
    return damaged(err, "header", "sections do not lie where the counts put them");
  }
  if (head->bytes > size) return damaged(err, "header", "the file ends before the index does");
  return WN_OK;
}

/* Lists cover the blocks in order; each id is one or none. */
static wn_status check_places(const wn_base *base, wn_error *err) {
  const wn_image_header *head = &base->head;
  if (base->lists[0] != 0 || base->lists[head->lists] != head->blocks) {
    return damaged(err, "lists", "do not cover the blocks");
  }
  for (uint32_t l = 0; l < head->lists; l++) {
    if (base->lists[l] > base->lists[l + 1]) return damaged(err, "lists", "descend");
  }
  size_t lanes = (size_t)head->blocks * WN_SCAN_LANES;
  uint32_t bad = 0;
  for (size_t i = 0; i < lanes; i++) {
    bad |= (uint32_t)(base->ids[i] >= head->ids) & (uint32_t)(base->ids[i] != WN_NO_ID);
  }
  if (bad != 0) return damaged(err, "ids", "one is out of range");
  return WN_OK;
}

wn_status wn_base_map(const void *bytes, size_t size, const wn_vectors *rows, wn_base **out,
                      wn_error *err) {
  wn_status status;
  wn_base *base = NULL;
  wn_image_header head;
  WN_TRY(read_head(bytes, size, &head, err));
  if (rows != NULL && (rows->dims != head.dims || rows->count < head.ids)) {
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "rows", "the index is of %u × %u, got %u × %u", head.ids,
                   head.dims, rows->count, rows->dims));
  }
  if (rows == NULL && head.with_rows == 0 && head.ids > 0) {
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "rows", "the index was written without its rows"));
  }
  WN_TRY(allocate(&head, &base, err));
  resolve(base, bytes);
  if (rows != NULL) base->rows = rows->data;
  WN_TRY(check_places(base, err));
  WN_TRY(wn_base_derive(base, err));
  *out = base;
  return WN_OK;
cleanup:
  wn_base_free(base);
  return status;
}

static wn_status check_finite(const float *x, uint64_t n, const char *part, wn_error *err) {
  bool bad = false;
  for (uint64_t i = 0; i < n; i++) bad |= !(fabsf(x[i]) <= 3.0e38f);
  return bad ? damaged(err, part, "holds a number that is not finite") : WN_OK;
}

/* Axes of length 1, orthogonal to each other but for rounding: bounds depend on it. */
static wn_status check_axes(const wn_axes *axes, wn_error *err) {
  size_t dims = axes->dims;
  if (axes->blocks == NULL) return WN_OK;
  float *rows = wn_malloc((size_t)axes->kept * dims * sizeof *rows);
  bool fine = true;
  if (rows == NULL) return wn_fail_memory(err);
  for (size_t a = 0; a < axes->kept; a++) {
    const float *from = axes->blocks + a / 16 * dims * 16 + a % 16;
    for (size_t j = 0; j < dims; j++) rows[a * dims + j] = from[j * 16];
    for (size_t b = 0; b <= a; b++) {
      float dot = wn_simd()->dot(rows + a * dims, rows + b * dims, dims);
      fine &= fabsf(dot - (a == b ? 1.0f : 0.0f)) <= 1e-5f;
    }
  }
  wn_free(rows);
  return fine ? WN_OK : damaged(err, "axes", "are not orthonormal");
}

/* Each present id lies in exactly one lane. */
static wn_status check_ids(const wn_base *base, wn_error *err) {
  wn_status status = WN_OK;
  size_t lanes = (size_t)base->head.blocks * WN_SCAN_LANES;
  uint64_t found = 0;
  wn_bitset seen;
  if (!wn_bitset_init(&seen, base->head.ids)) return wn_fail_memory(err);
  for (size_t i = 0; i < lanes; i++) {
    uint32_t id = base->ids[i];
    if (id == WN_NO_ID) continue;
    if (wn_bitset_test(&seen, id)) WN_TRY(damaged(err, "ids", "one occurs twice"));
    if (!wn_base_has(base, id)) WN_TRY(damaged(err, "present", "lacks an id that a list has"));
    wn_bitset_set(&seen, id);
    found++;
  }
  if (found != base->head.rows) WN_TRY(damaged(err, "ids", "do not count up to the header's"));
  if (wn_scan()->count_bits(base->present, ((size_t)base->head.ids + 63) / 64) != found) {
    WN_TRY(damaged(err, "present", "has an id that no list has"));
  }
cleanup:
  wn_bitset_clear(&seen);
  return status;
}

static bool is_zero(const unsigned char *p, const unsigned char *end) {
  for (; p < end; p++) {
    if (*p != 0) return false;
  }
  return true;
}

wn_status wn_index_verify(const void *bytes, size_t size, wn_error *err) {
  wn_status status;
  wn_base *base = NULL;
  wn_image_header head;
  wn_vectors none = {0};
  const unsigned char *p = bytes;
  WN_TRY(read_head(bytes, size, &head, err));
  if (size != head.bytes) WN_TRY(damaged(err, "header", "something follows the index"));
  uint64_t at = sizeof head;
  for (int i = 0; i < WN_PARTS; i++) {
    const wn_image_part *part = &head.parts[i];
    if (!is_zero(p + at, p + part->offset)) {
      WN_TRY(damaged(err, part_names[i], "something lies before the section"));
    }
    if (wn_hash64(p + part->offset, (size_t)part->bytes, 0) != part->checksum) {
      WN_TRY(damaged(err, part_names[i], "checksum differs"));
    }
    at = part->offset + part->bytes;
  }
  if (!is_zero(p + at, p + size)) WN_TRY(damaged(err, "rows", "something follows the section"));
  none.dims = head.dims;
  none.count = head.ids;
  WN_TRY(wn_base_map(bytes, size, head.with_rows != 0 ? NULL : &none, &base, err));
  WN_TRY(check_ids(base, err));
  WN_TRY(check_finite(&base->fits->step, head.parts[WN_PART_FITS].bytes / 4, "fits", err));
  WN_TRY(check_axes(&base->axes, err));
  WN_TRY(check_finite(&base->bounds->high, head.parts[WN_PART_BOUNDS].bytes / 4, "bounds", err));
  WN_TRY(check_finite(base->centres, head.parts[WN_PART_CENTRES].bytes / 4, "centres", err));
  if (head.with_rows != 0) {
    WN_TRY(check_finite(base->rows, head.parts[WN_PART_ROWS].bytes / 4, "rows", err));
  }
cleanup:
  wn_base_free(base);
  return status;
}

static const void *part_data(const wn_base *base, int part) {
  const void *const data[WN_PARTS] = {
      base->codes, base->fits,    base->axes.blocks, base->bias,    base->ids, base->bounds,
      base->lists, base->centres, base->inverses,    base->present, base->rows};
  return data[part];
}

wn_status wn_base_write(const wn_base *base, bool with_rows, const wn_index_sink *sink,
                        wn_error *err) {
  static const unsigned char zeros[WN_IMAGE_ALIGN];
  wn_status status;
  wn_image_header head = base->head;
  head.with_rows = with_rows ? 1 : 0;
  if (!wn_image_layout(&head)) return wn_fail(err, WN_E_TOO_LARGE, "rows", "too many for a file");
  for (int i = 0; i < WN_PARTS; i++) {
    head.parts[i].checksum = wn_hash64(part_data(base, i), (size_t)head.parts[i].bytes, 0);
  }
  head.checksum = head_checksum(&head);
  WN_TRY(sink->write(sink->ctx, &head, sizeof head, err));
  uint64_t at = sizeof head;
  for (int i = 0; i <= WN_PARTS; i++) {
    uint64_t next = i < WN_PARTS ? head.parts[i].offset : head.bytes;
    if (next > at) WN_TRY(sink->write(sink->ctx, zeros, (size_t)(next - at), err));
    if (i == WN_PARTS) break;
    size_t bytes = (size_t)head.parts[i].bytes;
    if (bytes > 0) WN_TRY(sink->write(sink->ctx, part_data(base, i), bytes, err));
    at = next + bytes;
  }
cleanup:
  return status;
}
