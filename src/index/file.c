/* An index as a file of its own: an image with its rows, whole or absent. */
#include "base/file.h"
#include "index/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static wn_status write_all(void *ctx, const void *data, size_t bytes, wn_error *err) {
  const char *p = data;
  while (bytes > 0) {
    ssize_t n = write(*(const int *)ctx, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return wn_fail_errno(err, "", "cannot write the index");
    p += n;
    bytes -= (size_t)n;
  }
  return WN_OK;
}

/* The folder of `path`, for syncing. */
static void folder_of(const char *path, char *out, size_t size) {
  const char *slash = strrchr(path, '/');
  if (slash == NULL) {
    snprintf(out, size, ".");
  } else {
    snprintf(out, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  }
}

wn_status wn_index_save(const wn_index *index, const char *path, wn_error *err) {
  wn_status status;
  char temporary[4096], folder[4096];
  int len = snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid());
  if (len < 0 || (size_t)len >= sizeof temporary) {
    return wn_fail(err, WN_E_ARGUMENT, "path", "is too long");
  }
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return wn_fail_errno(err, "", "cannot create %s", temporary);
  wn_index_sink sink = {&fd, write_all};
  WN_TRY(wn_index_write(index, true, &sink, err));
  if (fsync(fd) != 0) WN_TRY(wn_fail_errno(err, "", "cannot sync %s", temporary));
  if (rename(temporary, path) != 0) WN_TRY(wn_fail_errno(err, "", "cannot rename to %s", path));
  folder_of(path, folder, sizeof folder);
  WN_TRY(wn_sync_dir(folder, err));
cleanup:
  close(fd);
  if (status != WN_OK) unlink(temporary);
  return status;
}

wn_status wn_index_open(const char *path, wn_index **out, wn_error *err) {
  wn_mapping mapping;
  *out = NULL;
  wn_status status = wn_map_file(path, &mapping, err);
  if (status != WN_OK) return status;
  status = wn_index_map(mapping.data, mapping.size, NULL, out, err);
  if (status != WN_OK) {
    wn_unmap_file(&mapping);
    return wn_error_at(err, path, 0, 0);
  }
  (*out)->mapping = mapping.data;
  (*out)->mapping_size = mapping.size;
  return WN_OK;
}

wn_status wn_index_verify_file(const char *path, wn_error *err) {
  wn_mapping mapping;
  wn_status status = wn_map_file(path, &mapping, err);
  if (status != WN_OK) return status;
  status = wn_index_verify(mapping.data, mapping.size, err);
  wn_unmap_file(&mapping);
  return status == WN_OK ? WN_OK : wn_error_at(err, path, 0, 0);
}
