#ifndef WN_INDEX_IMAGE_H
#define WN_INDEX_IMAGE_H
/* The base of an index: an immutable, position-independent image. In memory, in a file and in a
 * section of a snapshot it is the same bytes; private to this folder.
 *
 *   0      wn_image_header, which names the offset, size and checksum of each section
 *   then   the sections in order, each at the next multiple of 64, gaps zero
 *
 * Sizes follow from the header's counts, so there is one valid layout for given counts. Items lie
 * in blocks of 16 lanes, list by list; a list's last block is filled up with lanes without an id.
 */

#include "base/simd/scan.h"
#include "index/axes.h"

#include <stdatomic.h>

#define WN_IMAGE_MAGIC   "WNINDX\r\n"
#define WN_IMAGE_VERSION 4u
#define WN_IMAGE_ALIGN   64u
#define WN_NO_ID         UINT32_MAX
#define WN_COST_STEPS                                                                              \
  5 /* searches for 1, 4, 16, 64, 256 times k: what a filter makes of a search */

enum {
  WN_PART_CODES,  /* u8 [blocks][groups·64] */
  WN_PART_FITS,   /* wn_scan_fit [blocks] */
  WN_PART_AXES,   /* f32 [⌈kept/16⌉][dims][16], nothing when kept = dims; see axes.h */
  WN_PART_BIAS,   /* f32 [blocks·16]: −‖x‖²; l2 only */
  WN_PART_IDS,    /* u32 [blocks·16] */
  WN_PART_BOUNDS, /* wn_bound [blocks]; see lists.h */
  WN_PART_LISTS,  /* u32 [lists + 1]: first block */
  WN_PART_CENTRES, /* f32 [⌈lists/16⌉][dims][16]: unit directions; for l2 [dims + 1]: means and ‖c‖²
                    */
  WN_PART_INVERSES, /* f32 [ids]: 1/‖x‖ (0 for 0); cosine only */
  WN_PART_PRESENT,  /* u64 [⌈ids/64⌉] */
  WN_PART_ROWS,     /* f32 [ids][dims], or nothing */
  WN_PARTS
};

typedef struct wn_image_part {
  uint64_t offset;
  uint64_t bytes;
  uint64_t checksum; /* XXH3-64 */
} wn_image_part;

typedef struct wn_image_level {
  float recall, achieved, kappa, lanes;
} wn_image_level;

/* Lists by tiers of falling norms: lists first[t] … first[t + 1] hold the rows whose norm is at
 * least floor[t] and below the tier before. */
#define WN_TIERS_MAX 4u
typedef struct wn_tiers {
  uint32_t count;
  uint32_t first[WN_TIERS_MAX + 1];
  float floor[WN_TIERS_MAX]; /* of the last one 0 */
} wn_tiers;

typedef struct wn_image_header {
  char magic[8];
  uint32_t version;
  uint32_t metric;
  uint32_t dims;
  uint32_t ids;
  uint32_t rows; /* present ones */
  uint32_t lists;
  uint32_t blocks;
  uint32_t with_rows; /* 0 or 1 */
  float code_error;   /* greatest wn_code_fit of the blocks */
  float code_norm;
  float row2_max;    /* greatest ‖x‖² */
  float recall;      /* asked for */
  float exact_lanes; /* int8 scores of an exact search, mean */
  uint32_t k;        /* measured at */
  wn_image_level levels[WN_INDEX_LEVELS];
  float cost[WN_COST_STEPS]; /* lanes a search for 4^i·k scans at `recall` */
  uint32_t kept;             /* dimensions of a code: axes, or dims */
  float spread;              /* of the axes */
  uint32_t reserved;         /* 0 */
  wn_tiers tiers;
  uint64_t bytes;
  wn_image_part parts[WN_PARTS];
  uint64_t checksum; /* of all before it */
} wn_image_header;

_Static_assert(sizeof(wn_image_header) ==
                   64 + 16 * WN_INDEX_LEVELS + 24 + 40 + 16 + 24 * WN_PARTS + 8,
               "header without holes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are little-endian as written");

/* What the rows of a block have in common; see lists.h. */
typedef struct wn_bound {
  float high, low, rest;
} wn_bound;

/* An image with its pointers resolved. */
typedef struct wn_base {
  wn_image_header head;
  wn_axes axes;
  size_t groups; /* of four dimensions of a code */
  const uint8_t *codes;
  const wn_scan_fit *fits;
  const float *bias; /* NULL unless l2 */
  const uint32_t *ids;
  const wn_bound *bounds;
  const uint32_t *lists;
  const float *centres;
  const float *inverses; /* NULL unless cosine */
  const uint64_t *present;
  const float *rows;
  wn_bound *tops;            /* [lists] each list's first block's; owned */
  struct wn_coarse *coarse;  /* the centres as codes; owned */
  _Atomic(uint32_t) *died;   /* [ids] the change that replaced the row; 0: none */
  _Atomic(uint64_t) *struck; /* bits: died is not 0; small enough to stay in a cache */
  unsigned char *image;      /* owned, or NULL: mapped */
  float *own_rows;           /* owned, or NULL: `rows` begins at its first multiple of 64 */
} wn_base;

/* Fills in head's parts and bytes from its counts; false: does not fit in 63 bits. */
bool wn_image_layout(wn_image_header *head);
/* What is derived from centres and bounds once they are there: `tops` and `coarse`. */
WN_MUST_USE wn_status wn_base_derive(wn_base *base, wn_error *err);
/* The centres row by row, [lists · dims]. */
void wn_base_centres(const wn_base *base, float *out);
/* Memory for an image of head's counts, zeroed, pointers resolved; rows are not part of it. */
WN_MUST_USE wn_status wn_base_create(const wn_image_header *head, wn_base **out, wn_error *err);
/* Checks what memory safety depends on and resolves pointers into `bytes`. */
WN_MUST_USE wn_status wn_base_map(const void *bytes, size_t size, const wn_vectors *rows,
                                  wn_base **out, wn_error *err);
void wn_base_free(wn_base *base);
void wn_advise_huge(void *memory, size_t bytes);
/* Room for `count` floats from wn_rows_of(block) on, zeroed; NULL: no memory. */
float *wn_rows_create(size_t count);
/* Mutable access while an image is being built. */
void *wn_base_part(wn_base *base, int part);
WN_MUST_USE wn_status wn_base_write(const wn_base *base, bool with_rows, const wn_index_sink *sink,
                                    wn_error *err);

/* A row of 64 floats is then four lines of a cache, not five. */
static inline float *wn_rows_of(float *block) {
  return (float *)(((uintptr_t)block + WN_IMAGE_ALIGN - 1) & ~(uintptr_t)(WN_IMAGE_ALIGN - 1));
}
static inline bool wn_base_has(const wn_base *base, uint32_t id) {
  return id < base->head.ids && ((base->present[id >> 6] >> (id & 63)) & 1) != 0;
}
static inline size_t wn_centre_dims(uint32_t metric, uint32_t dims) {
  return (size_t)dims + (metric == WN_METRIC_L2);
}
static inline const float *wn_base_row(const wn_base *base, uint32_t id) {
  return base->rows + (size_t)id * base->head.dims;
}

#endif
