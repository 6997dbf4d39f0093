#ifndef WN_MODEL_SNAPSHOT_FORMAT_H
#define WN_MODEL_SNAPSHOT_FORMAT_H
/* The file's layout, shared by the writer and the loader; private to this folder.
 *
 *   0        wn_snapshot_header (64 bytes)
 *   64       256 × wn_snapshot_entry_disk, the unused ones zero
 *   18,496   the sections in table order, each beginning at the next multiple of 64, the gaps
 *            zero; the last section's padded end is the end of the file
 *
 * There is exactly one valid layout for given sections, so that every byte of a file is either
 * checked by a checksum or must be zero: no flipped bit goes unnoticed. */

#include "base/map64.h"
#include "model/snapshot.h"

#define WN_SNAPSHOT_MAGIC     "WNSNAP\r\n" /* \r\n: a text-mode transfer breaks it visibly */
#define WN_SNAPSHOT_VERSION   1u
#define WN_SNAPSHOT_ALIGN     64u
#define WN_SNAPSHOT_ABOUT     "about"
#define WN_SNAPSHOT_ABOUT_MAX 65536u

typedef struct wn_snapshot_header {
  char magic[8];
  uint32_t version;
  uint32_t section_count;
  uint64_t file_bytes;
  uint8_t reserved[32]; /* zero */
  uint64_t checksum;    /* of everything before it, and of the table */
} wn_snapshot_header;

typedef struct wn_snapshot_entry_disk {
  char name[WN_SECTION_NAME_MAX + 1]; /* the rest after the NUL is zero */
  uint64_t offset;
  uint64_t bytes;
  uint64_t checksum; /* XXH3-64 of the bytes */
} wn_snapshot_entry_disk;

typedef struct wn_snapshot_head {
  wn_snapshot_header header;
  wn_snapshot_entry_disk table[WN_SNAPSHOT_SECTIONS_MAX];
} wn_snapshot_head;

_Static_assert(sizeof(wn_snapshot_header) == 64, "header layout");
_Static_assert(sizeof(wn_snapshot_entry_disk) == 72, "table layout");
_Static_assert(sizeof(wn_snapshot_head) % WN_SNAPSHOT_ALIGN == 0, "sections are aligned");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian as written");

static inline uint64_t wn_snapshot_head_checksum(const wn_snapshot_head *head) {
  uint64_t seed = wn_hash64(&head->header, offsetof(wn_snapshot_header, checksum), 0);
  return wn_hash64(head->table, sizeof head->table, seed);
}

/* The next multiple of 64; callers keep `at` below 2^63. */
static inline uint64_t wn_snapshot_align(uint64_t at) {
  return (at + (WN_SNAPSHOT_ALIGN - 1)) & ~(uint64_t)(WN_SNAPSHOT_ALIGN - 1);
}

bool wn_snapshot_name_valid(const char *name); /* [a-z0-9_./-]+, at most WN_SECTION_NAME_MAX */

void wn_snapshot_about_write(const wn_snapshot_about *about, wn_buf *out);
/* Every field must be there, of its type and within its range. */
WN_MUST_USE wn_status wn_snapshot_about_read(wn_str json, wn_snapshot_about *out, wn_error *err);

/* Opens; `verify` off checks the header, the table, the layout and "about" but not the other
 * sections' bytes. */
WN_MUST_USE wn_status wn_snapshot_open_as(const char *path, bool verify, wn_snapshot **out,
                                          wn_error *err);

#endif
