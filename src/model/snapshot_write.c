/* Writing a snapshot: sections stream out as they come, the head (header and table) is written
 * last, over the room left for it. Until the final rename the file lies beside its place under
 * "<path>.tmp", so that a crash leaves at most that; the next attempt truncates it. */

#include "model/snapshot_format.h"

#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct wn_snapshot_writer {
  int fd;
  bool failed; /* after a failed write nothing more is taken */
  uint64_t at; /* bytes written, or left for the head */
  wn_snapshot_head head;
  char path[PATH_MAX];
  char temporary[PATH_MAX];
};

bool wn_snapshot_name_valid(const char *name) {
  size_t len = strlen(name);
  return len > 0 && len <= WN_SECTION_NAME_MAX &&
         strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_./-") == len;
}

wn_status wn_snapshot_writer_create(const char *path, wn_snapshot_writer **out, wn_error *err) {
  *out = NULL;
  wn_snapshot_writer *writer = wn_calloc(1, sizeof *writer);
  if (writer == NULL) return wn_fail_memory(err);
  writer->fd = -1;
  writer->at = sizeof writer->head;
  int length = snprintf(writer->path, sizeof writer->path, "%s", path);
  int longer = snprintf(writer->temporary, sizeof writer->temporary, "%s.tmp", path);
  if (length <= 0 || longer < 0 || (size_t)longer >= sizeof writer->temporary) {
    wn_free(writer);
    return wn_fail(err, WN_E_ARGUMENT, "path", "must be 1 to %d bytes", PATH_MAX - 5);
  }
  writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (writer->fd < 0) {
    wn_status status = wn_fail_errno(err, "", "cannot create \"%s\"", writer->temporary);
    wn_free(writer);
    return status;
  }
  *out = writer;
  return WN_OK;
}

static wn_status put(wn_snapshot_writer *writer, const void *data, uint64_t bytes, uint64_t at,
                     wn_error *err) {
  const char *from = data;
  while (bytes > 0) {
    size_t chunk = bytes < (1u << 30) ? (size_t)bytes : (size_t)1 << 30;
    ssize_t done = pwrite(writer->fd, from, chunk, (off_t)at);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      writer->failed = true;
      return wn_fail_errno(err, "", "cannot write \"%s\"", writer->temporary);
    }
    from += done;
    at += (uint64_t)done;
    bytes -= (uint64_t)done;
  }
  return WN_OK;
}

static wn_status check_name(const wn_snapshot_writer *writer, const char *name, wn_error *err) {
  if (!wn_snapshot_name_valid(name))
    return wn_fail(err, WN_E_ARGUMENT, "section", "a name must be 1 to %d of [a-z0-9_./-]",
                   WN_SECTION_NAME_MAX);
  for (uint32_t i = 0; i < writer->head.header.section_count; i++)
    if (strcmp(writer->head.table[i].name, name) == 0)
      return wn_fail(err, WN_E_ARGUMENT, "section", "\"%s\" is there twice", name);
  return WN_OK;
}

wn_status wn_snapshot_write(wn_snapshot_writer *writer, const char *name, const void *data,
                            uint64_t bytes, wn_error *err) {
  static const char zeros[WN_SNAPSHOT_ALIGN];
  wn_status status = WN_OK;
  wn_snapshot_header *header = &writer->head.header;
  if (writer->failed) return wn_fail(err, WN_E_IO, "", "an earlier write failed");
  WN_TRY(check_name(writer, name, err));
  if (header->section_count == WN_SNAPSHOT_SECTIONS_MAX)
    return wn_fail(err, WN_E_TOO_LARGE, "section", "a snapshot holds at most %d sections",
                   WN_SNAPSHOT_SECTIONS_MAX);
  if (bytes > (uint64_t)INT64_MAX / 2 - writer->at)
    return wn_fail(err, WN_E_TOO_LARGE, "section", "\"%s\" is too long", name);
  wn_snapshot_entry_disk *entry = &writer->head.table[header->section_count];
  memcpy(entry->name, name, strlen(name) + 1);
  entry->offset = writer->at;
  entry->bytes = bytes;
  entry->checksum = wn_hash64(bytes > 0 ? data : zeros, (size_t)bytes, 0);
  WN_TRY(put(writer, data, bytes, writer->at, err));
  uint64_t end = wn_snapshot_align(writer->at + bytes);
  WN_TRY(put(writer, zeros, end - (writer->at + bytes), writer->at + bytes, err));
  writer->at = end;
  header->section_count++;
cleanup:
  return status;
}

static wn_status write_about(wn_snapshot_writer *writer, const wn_snapshot_about *about,
                             wn_error *err) {
  wn_buf json = {0};
  wn_snapshot_about_write(about, &json);
  wn_status status = json.failed
                         ? wn_fail_memory(err)
                         : wn_snapshot_write(writer, WN_SNAPSHOT_ABOUT, json.data, json.len, err);
  wn_buf_clear(&json);
  return status;
}

static wn_status sync_parent(const char *path, wn_error *err) {
  char parent[PATH_MAX];
  snprintf(parent, sizeof parent, "%s", path);
  char *slash = strrchr(parent, '/');
  if (slash == NULL) return wn_sync_dir(".", err);
  slash[slash == parent ? 1 : 0] = '\0';
  return wn_sync_dir(parent, err);
}

wn_status wn_snapshot_writer_finish(wn_snapshot_writer *writer, const wn_snapshot_about *about,
                                    wn_error *err) {
  wn_status status = WN_OK;
  wn_snapshot_header *header = &writer->head.header;
  WN_TRY(write_about(writer, about, err));
  memcpy(header->magic, WN_SNAPSHOT_MAGIC, sizeof header->magic);
  header->version = WN_SNAPSHOT_VERSION;
  header->file_bytes = writer->at;
  header->checksum = wn_snapshot_head_checksum(&writer->head);
  WN_TRY(put(writer, &writer->head, sizeof writer->head, 0, err));
  if (fsync(writer->fd) != 0)
    WN_TRY(wn_fail_errno(err, "", "cannot sync \"%s\"", writer->temporary));
  int closed = close(writer->fd);
  writer->fd = -1;
  if (closed != 0 || rename(writer->temporary, writer->path) != 0)
    WN_TRY(wn_fail_errno(err, "", "cannot write \"%s\"", writer->path));
  writer->temporary[0] = '\0';
  WN_TRY(sync_parent(writer->path, err));
cleanup:
  wn_snapshot_writer_abandon(writer);
  return status;
}

void wn_snapshot_writer_abandon(wn_snapshot_writer *writer) {
  if (writer == NULL) return;
  if (writer->fd >= 0) close(writer->fd);
  if (writer->temporary[0] != '\0') unlink(writer->temporary);
  wn_free(writer);
}
