/* Opening a snapshot: nothing in the file is believed before it has been checked. The order is
 * the one that gives the most useful reason: size and magic (is it a snapshot at all?), version
 * (may we read it?), length (truncated?), head checksum, layout, "about", sections.
 *
 * Cost: one pass of XXH3 over the file, about 10 GB/s from the page cache. Concurrency: a snapshot
 * is immutable; only its reference count changes. */

#include "model/snapshot_format.h"

#include "base/mem.h"
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

struct wn_snapshot {
  atomic_uint references;
  wn_mapping mapping; /* empty when the bytes are borrowed */
  const unsigned char *data;
  uint64_t size;
  wn_snapshot_about about;
};

static const wn_snapshot_head *head_of(const unsigned char *data) {
  return (const wn_snapshot_head *)(const void *)data;
}

static bool all_zero(const void *data, uint64_t bytes) {
  const unsigned char *at = data;
  for (uint64_t i = 0; i < bytes; i++)
    if (at[i] != 0) return false;
  return true;
}

static wn_status check_head(const unsigned char *data, uint64_t size, wn_error *err) {
  if (size < sizeof(wn_snapshot_head))
    return wn_fail(err, WN_E_CORRUPT, "size", "too short for a snapshot: %llu bytes",
                   (unsigned long long)size);
  const wn_snapshot_head *head = head_of(data);
  if (memcmp(head->header.magic, WN_SNAPSHOT_MAGIC, sizeof head->header.magic) != 0)
    return wn_fail(err, WN_E_CORRUPT, "magic", "not a snapshot");
  bool sound = head->header.checksum == wn_snapshot_head_checksum(head);
  if (sound && head->header.version != WN_SNAPSHOT_VERSION)
    return wn_fail(err, WN_E_UNSUPPORTED, "version", "must be %u, is %u: written by another Winnow",
                   WN_SNAPSHOT_VERSION, head->header.version);
  if (head->header.file_bytes != size)
    return wn_fail(err, WN_E_CORRUPT, "size", "%s: %llu bytes, the header says %llu",
                   size < head->header.file_bytes ? "truncated" : "extended or damaged",
                   (unsigned long long)size, (unsigned long long)head->header.file_bytes);
  if (!sound) return wn_fail(err, WN_E_CORRUPT, "header", "checksum does not match");
  if (!all_zero(head->header.reserved, sizeof head->header.reserved))
    return wn_fail(err, WN_E_CORRUPT, "header", "reserved bytes must be zero");
  if (head->header.section_count > WN_SNAPSHOT_SECTIONS_MAX)
    return wn_fail(err, WN_E_CORRUPT, "header", "at most %d sections, is %u",
                   WN_SNAPSHOT_SECTIONS_MAX, head->header.section_count);
  return WN_OK;
}

static wn_status check_name(const wn_snapshot_head *head, uint32_t i, wn_error *err) {
  const char *name = head->table[i].name;
  size_t len = strnlen(name, sizeof head->table[i].name);
  if (len == sizeof head->table[i].name || !wn_snapshot_name_valid(name) ||
      !all_zero(name + len, sizeof head->table[i].name - len))
    return wn_fail(err, WN_E_CORRUPT, "table", "section %u has an invalid name", i);
  for (uint32_t j = 0; j < i; j++)
    if (strcmp(head->table[j].name, name) == 0)
      return wn_fail(err, WN_E_CORRUPT, "table", "section \"%s\" is there twice", name);
  return WN_OK;
}

/* The one valid layout: see snapshot_format.h. */
static wn_status check_layout(const unsigned char *data, uint64_t size, wn_error *err) {
  wn_status status = WN_OK;
  const wn_snapshot_head *head = head_of(data);
  uint64_t at = sizeof *head;
  for (uint32_t i = 0; i < head->header.section_count; i++) {
    const wn_snapshot_entry_disk *entry = &head->table[i];
    WN_TRY(check_name(head, i, err));
    if (entry->offset != at || entry->bytes > size - at)
      return wn_fail(err, WN_E_CORRUPT, entry->name, "section lies outside its place");
    uint64_t end = at + entry->bytes;
    at = wn_snapshot_align(end);
    if (at > size || !all_zero(data + end, at - end))
      return wn_fail(err, WN_E_CORRUPT, entry->name, "section's padding must be zero");
  }
  if (at != size) return wn_fail(err, WN_E_CORRUPT, "size", "bytes after the last section");
  uint32_t used = head->header.section_count;
  if (!all_zero(&head->table[used], (WN_SNAPSHOT_SECTIONS_MAX - used) * sizeof *head->table))
    return wn_fail(err, WN_E_CORRUPT, "table", "unused entries must be zero");
cleanup:
  return status;
}

static const wn_snapshot_entry_disk *find(const unsigned char *data, const char *name) {
  const wn_snapshot_head *head = head_of(data);
  for (uint32_t i = 0; i < head->header.section_count; i++)
    if (strcmp(head->table[i].name, name) == 0) return &head->table[i];
  return NULL;
}

static wn_status check_section(const unsigned char *data, const wn_snapshot_entry_disk *entry,
                               wn_error *err) {
  if (wn_hash64(data + entry->offset, (size_t)entry->bytes, 0) != entry->checksum)
    return wn_fail(err, WN_E_CORRUPT, entry->name, "section's checksum does not match");
  return WN_OK;
}

static wn_status verify(const unsigned char *data, uint64_t size, bool sections,
                        wn_snapshot_about *about, wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(check_head(data, size, err));
  WN_TRY(check_layout(data, size, err));
  const wn_snapshot_entry_disk *entry = find(data, WN_SNAPSHOT_ABOUT);
  if (entry == NULL || entry->bytes > WN_SNAPSHOT_ABOUT_MAX)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, WN_SNAPSHOT_ABOUT, "section is missing or too long"));
  WN_TRY(check_section(data, entry, err));
  WN_TRY(wn_snapshot_about_read((wn_str){(const char *)data + entry->offset, (size_t)entry->bytes},
                                about, err));
  for (uint32_t i = 0; sections && i < head_of(data)->header.section_count; i++)
    WN_TRY(check_section(data, &head_of(data)->table[i], err));
cleanup:
  return status;
}

static wn_status adopt(const wn_mapping *mapping, const void *bytes, size_t size, bool sections,
                       wn_snapshot **out, wn_error *err) {
  wn_snapshot *snapshot = wn_calloc(1, sizeof *snapshot);
  if (snapshot == NULL) return wn_fail_memory(err);
  atomic_init(&snapshot->references, 1);
  snapshot->data = bytes;
  snapshot->size = size;
  wn_status status = verify(snapshot->data, size, sections, &snapshot->about, err);
  if (status != WN_OK) {
    wn_free(snapshot);
    return status;
  }
  if (mapping != NULL) snapshot->mapping = *mapping;
  *out = snapshot;
  return WN_OK;
}

wn_status wn_snapshot_open_as(const char *path, bool sections, wn_snapshot **out, wn_error *err) {
  wn_mapping mapping;
  *out = NULL;
  wn_status status = wn_map_file(path, &mapping, err);
  if (status != WN_OK) return status;
  /* Ask for the pages at once; a refusal only costs time. */
  if (sections && mapping.size > 0)
    (void)madvise((void *)(uintptr_t)mapping.data, mapping.size, MADV_WILLNEED);
  status = adopt(&mapping, mapping.data, mapping.size, sections, out, err);
  if (status != WN_OK) wn_unmap_file(&mapping);
  if (status == WN_OK) return WN_OK;
  (void)wn_error_at(err, path, 0, 0);
  return status;
}

wn_status wn_snapshot_open(const char *path, wn_snapshot **out, wn_error *err) {
  return wn_snapshot_open_as(path, true, out, err);
}

wn_status wn_snapshot_open_memory(const void *bytes, size_t size, wn_snapshot **out,
                                  wn_error *err) {
  *out = NULL;
  if (((uintptr_t)bytes & (WN_SNAPSHOT_ALIGN - 1)) != 0)
    return wn_fail(err, WN_E_ARGUMENT, "bytes", "must be aligned to %u", WN_SNAPSHOT_ALIGN);
  return adopt(NULL, bytes, size, true, out, err);
}

wn_snapshot *wn_snapshot_ref(wn_snapshot *snapshot) {
  atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
  return snapshot;
}

void wn_snapshot_unref(wn_snapshot *snapshot) {
  if (snapshot == NULL) return;
  if (atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) != 1) return;
  wn_unmap_file(&snapshot->mapping);
  wn_free(snapshot);
}

const wn_snapshot_about *wn_snapshot_about_of(const wn_snapshot *snapshot) {
  return &snapshot->about;
}

wn_status wn_snapshot_section(const wn_snapshot *snapshot, const char *name, size_t element,
                              const void **data, uint64_t *count, wn_error *err) {
  const wn_snapshot_entry_disk *entry = find(snapshot->data, name);
  if (entry == NULL) return wn_fail(err, WN_E_NOT_FOUND, name, "no such section in the snapshot");
  if (entry->bytes % element != 0)
    return wn_fail(err, WN_E_CORRUPT, name, "section must be a multiple of %zu bytes, is %llu",
                   element, (unsigned long long)entry->bytes);
  *data = snapshot->data + entry->offset;
  *count = entry->bytes / element;
  return WN_OK;
}

bool wn_snapshot_has(const wn_snapshot *snapshot, const char *name) {
  return find(snapshot->data, name) != NULL;
}

size_t wn_snapshot_bytes(const wn_snapshot *snapshot) {
  return snapshot->mapping.size;
}

size_t wn_snapshot_section_count(const wn_snapshot *snapshot) {
  return head_of(snapshot->data)->header.section_count;
}

void wn_snapshot_section_at(const wn_snapshot *snapshot, size_t i, const char **name,
                            uint64_t *bytes) {
  const wn_snapshot_entry_disk *entry = &head_of(snapshot->data)->table[i];
  *name = entry->name;
  *bytes = entry->bytes;
}
