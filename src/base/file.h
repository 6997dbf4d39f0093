#ifndef WN_BASE_FILE_H
#define WN_BASE_FILE_H
/* Files that are either whole or absent, mapped files, locks. */

#include "base/str.h"

/* A read-only mapping of a whole file; {NULL, 0} for an empty one. */
typedef struct wn_mapping {
  const unsigned char *data;
  size_t size;
} wn_mapping;

/* Of a missing file: WN_E_NOT_FOUND, where other failures are WN_E_IO. */
WN_MUST_USE wn_status wn_map_file(const char *path, wn_mapping *out, wn_error *err);
void wn_unmap_file(wn_mapping *mapping);

/* Appends the content to `out`; WN_E_TOO_LARGE beyond `size_max` bytes; missing as above. */
WN_MUST_USE wn_status wn_read_file(const char *path, size_t size_max, wn_buf *out, wn_error *err);
/* Writes to a temporary file "PATH.tmp-PID-N" beside `path`, fsyncs, renames, fsyncs the folder. */
WN_MUST_USE wn_status wn_write_file_atomic(const char *path, wn_str content, wn_error *err);
WN_MUST_USE wn_status wn_make_dir(const char *path,
                                  wn_error *err); /* existing is fine; parents too */
WN_MUST_USE wn_status wn_sync_dir(const char *path, wn_error *err);

/* An exclusive lock on a file (flock), held until closed or the process ends. Writes the
 * process id into it. WN_E_BUSY names the holder. */
WN_MUST_USE wn_status wn_lock_file(const char *path, int *fd, wn_error *err);
void wn_unlock_file(int fd);

#endif
